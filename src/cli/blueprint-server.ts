import { type Blueprint, blueprintProblem, type BlueprintWords } from '#domain/blueprint.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { ConfigOptions } from '#src/config.ts';
import { askServer } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { runImport } from './import-run.ts';
import type { ImageFormat } from './import-format.ts';
import { type Column, printable, tableLines } from './table.ts';

export interface BlueprintImage {
  /** `-`: standard input. */
  readonly path: string;
  /** Null: by the path's name. */
  readonly format: ImageFormat | null;
  /** Null: the image's size. */
  readonly sizeGib: number | null;
}

interface Where {
  readonly data: string | undefined;
  readonly region: string | undefined;
  readonly replaces: boolean;
}

/** Refuses what the server would refuse at the end, before anything long begins. Throws CommandError. */
export async function checkBlueprint(words: BlueprintWords, { data, replaces }: Where): Promise<void> {
  const problem = blueprintProblem(words);
  if (problem !== null) throw new CommandError(`${problem.field} "${words[problem.field]}": ${problem.reason}`);
  const there = await blueprintsOf({ data });
  if (!replaces && there.some(({ id }) => id === words.id)) {
    throw new CommandError(`there is a blueprint "${words.id}" already: say --replace, or another --id`);
  }
}

/** Makes a snapshot of an image, and a blueprint of the snapshot; says so on standard output. */
export async function makeBlueprint(words: BlueprintWords, image: BlueprintImage, where: Where): Promise<void> {
  const { data, region } = where;
  const snapshot = await runImport({
    ...image,
    name: `blueprint-${words.id}`,
    service: 'ec2',
    snapshotName: `Blueprint ${words.id}, version ${words.version}`,
    removesDisk: true,
    json: false,
    region,
    data,
  });
  if (snapshot === null) throw new CommandError('the image was imported without a snapshot');
  const query = new URLSearchParams({
    ...words,
    minimumPower: String(words.minimumPower),
    snapshot,
    replace: where.replaces ? '1' : '0',
  });
  let made: Blueprint;
  try {
    made = blueprintIn(await askServer({ data }, 'POST', `/blueprints?${query.toString()}`));
  } catch (error) {
    throw new CommandError(`there is no blueprint ${words.id}; the snapshot ${snapshot} stays`, { cause: error });
  }
  process.stdout.write(
    `${made.id}: blueprint of ${made.snapshot}, ${made.diskGibMin} GiB, for ssh as ${made.userName}\n`,
  );
}

export async function printBlueprints(options: ConfigOptions, asJson: boolean): Promise<void> {
  const blueprints = await blueprintsOf(options);
  if (asJson) {
    process.stdout.write(`${JSON.stringify(blueprints, null, 2)}\n`);
    return;
  }
  if (blueprints.length === 0) {
    process.stdout.write('no blueprints; "varve blueprint build tiny" makes one\n');
    return;
  }
  const columns: readonly Column<Blueprint>[] = [
    { heading: 'id', cell: ({ id }) => id },
    { heading: 'name', cell: ({ name }) => printable(name) },
    { heading: 'version', cell: ({ version }) => printable(version) },
    { heading: 'user', cell: ({ userName }) => userName },
    { heading: 'GiB', cell: ({ diskGibMin }) => String(diskGibMin), isNumber: true },
    { heading: 'snapshot', cell: ({ snapshot }) => snapshot },
  ];
  process.stdout.write(`${tableLines(columns, blueprints).join('\n')}\n`);
}

/** Answers what it was. */
export async function removeFromServer(options: ConfigOptions, id: string): Promise<Blueprint> {
  return blueprintIn(await askServer(options, 'DELETE', `/blueprints?${new URLSearchParams({ id }).toString()}`));
}

async function blueprintsOf(options: ConfigOptions): Promise<readonly Blueprint[]> {
  const reply = await askServer(options, 'GET', '/blueprints');
  const list = typeof reply === 'object' && reply !== null && 'blueprints' in reply ? reply.blueprints : null;
  if (!Array.isArray(list)) throw new CommandError('the server does not know blueprints; is it of another version?');
  return list.map(blueprintIn);
}

function blueprintIn(value: unknown): Blueprint {
  const members = new Map<string, unknown>(typeof value === 'object' && value !== null ? Object.entries(value) : []);
  const text = (name: string): string => {
    const member = members.get(name);
    if (typeof member === 'string') return member;
    throw new CommandError('the server answered something else than a blueprint; is it of another version?');
  };
  return {
    id: text('id'),
    name: text('name'),
    platform: 'LINUX_UNIX',
    type: 'os',
    group: text('group'),
    description: text('description'),
    version: text('version'),
    snapshot: text('snapshot') as SnapshotId,
    diskGibMin: Number(members.get('diskGibMin')),
    minimumPower: Number(members.get('minimumPower')),
    userName: text('userName'),
    isActive: members.get('isActive') === true,
    createdAtMs: Number(members.get('createdAtMs')),
  };
}

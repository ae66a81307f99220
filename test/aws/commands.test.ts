import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { dlmFace } from '#api/dlm/face.ts';
import { ebsFace } from '#api/ebs/face.ts';
import { ec2Face } from '#api/ec2/face.ts';
import { iamFace } from '#api/iam/face.ts';
import { kmsFace } from '#api/kms/face.ts';
import { rbinFace } from '#api/rbin/face.ts';
import { stsFace } from '#api/sts/face.ts';
import { systemClock } from '#base/clock.ts';
import { requireTool } from '../clients.ts';
import { RunningServer } from '../running-server.ts';
import { misfit, type Shape } from './shape.ts';

/** A line of commands.json. In `aws` and `shape`, `${name}` is what an earlier command kept. */
interface Command {
  readonly aws: string;
  /** What the reply looks like; null: the command prints nothing. */
  readonly shape?: Shape;
  /** Instead of a shape: the code with which the command is refused. */
  readonly refused?: string;
  /** The command is given again until the reply has the shape. */
  readonly until?: true;
  /** Names of members, by paths such as `Volumes[0].VolumeId`. */
  readonly keep?: Readonly<Record<string, string>>;
  /** As `keep`, of base64 members whose bytes go into a file: later commands name it. */
  readonly keepFile?: Readonly<Record<string, string>>;
}

const UNTIL_MS = 30_000;

type Kept = Map<string, string>;

function filled(text: string, kept: Kept): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = kept.get(name);
    assert.ok(value !== undefined, `nothing was kept as ${name}`);
    return value;
  });
}

function filledShape(shape: Shape, kept: Kept): Shape {
  // A value that was kept is an id, an ARN or a name: it needs no escape in JSON.
  return JSON.parse(filled(JSON.stringify(shape), kept)) as Shape;
}

/** Words as a shell makes them, of which single quotes are all that is needed here. */
function wordsOf(text: string): readonly string[] {
  return [...text.matchAll(/(?:'[^']*'|[^\s'])+/g)].map(([word]) => word.replaceAll("'", ''));
}

function memberAt(value: unknown, path: string): string {
  let found: unknown = value;
  for (const name of path.split(/[.[\]]+/).filter((part) => part !== '')) {
    assert.ok(typeof found === 'object' && found !== null, `${path} is not there`);
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  assert.ok(typeof found === 'string', `${path} is no string`);
  return found;
}

/** The bytes of a snapshot's block, and where one goes that is read. */
async function filesFor(directory: string): Promise<Kept> {
  const block = randomBytes(524_288);
  await writeFile(join(directory, 'block'), block);
  await writeFile(join(directory, 'plaintext'), 'what nobody should see');
  return new Map([
    ['block', join(directory, 'block')],
    ['checksum', createHash('sha256').update(block).digest('base64')],
    ['out', join(directory, 'out')],
    ['plaintext', `fileb://${join(directory, 'plaintext')}`],
  ]);
}

test('every operation answers aws with the shape that is written down for it, in order', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const text = await readFile(join(import.meta.dirname, 'commands.json'), 'utf8');
  const commands = JSON.parse(text) as readonly Command[];
  const directory = await mkdtemp(join(tmpdir(), 'varve-commands-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await using server = await RunningServer.start();
  const isNewest = (await server.aws(['ec2', 'copy-volumes', '--generate-cli-skeleton'])).code === 0;
  const kept = await filesFor(directory);
  const unknown: string[] = [];

  for (const command of commands) {
    const words = wordsOf(filled(command.aws, kept));
    const startedMs = systemClock.nowMs();
    for (;;) {
      const { code, stdout, stderr } = await server.aws(words);
      if (!isNewest && /Invalid choice|Unknown options/.test(stderr)) {
        unknown.push(`${words[0]} ${words[1]}`);
        break;
      }
      if (command.refused !== undefined) {
        assert.match(stderr, new RegExp(`\\(${command.refused}\\)`), command.aws);
        break;
      }
      assert.equal(code, 0, `aws ${words.join(' ')}: ${stderr}`);
      // To an older client some replies are empty of which a newer one knows members.
      const nothing = isNewest || command.shape === undefined ? null : {};
      const reply: unknown = stdout.trim() === '' ? nothing : JSON.parse(stdout);
      for (const [name, path] of Object.entries(command.keep ?? {})) kept.set(name, memberAt(reply, path));
      const found = misfit(reply, filledShape(command.shape ?? null, kept), isNewest);
      if (found !== null) {
        const isLate = systemClock.nowMs() - startedMs > UNTIL_MS;
        assert.ok(command.until === true && !isLate, `aws ${words.join(' ')}: ${found}\n${stdout}`);
        await systemClock.sleep(100);
        continue;
      }
      for (const [name, path] of Object.entries(command.keepFile ?? {})) {
        await writeFile(join(directory, name), Buffer.from(memberAt(reply, path), 'base64'));
        kept.set(name, `fileb://${join(directory, name)}`);
      }
      break;
    }
  }
  assert.ok((await readFile(join(directory, 'out'))).equals(await readFile(join(directory, 'block'))));

  const asked = new Set(server.log.map((line) => `${String(line['service'])} ${String(line['operation'])}`));
  const faces = [ec2Face, ebsFace, rbinFace, dlmFace, kmsFace, iamFace, stsFace];
  const missing = faces.flatMap(({ service, handlers }) =>
    [...handlers.keys()].filter((name) => !asked.has(`${service} ${name}`)).map((name) => `${service} ${name}`),
  );
  assert.equal(missing.length, new Set(unknown).size, `no command asks for ${missing.join(', ')}`);
  if (unknown.length > 0) t.diagnostic(`this aws does not know: ${[...new Set(unknown)].join(', ')}`);
});

import type { ConfigOptions } from '#src/config.ts';

import { CommandError } from './command-error.ts';
import { freedBytesOf } from './du.ts';
import { Interrupt } from './image-interrupt.ts';
import { formatBytes } from './image-progress.ts';
import { findResource, type ListedResource } from './listed-resource.ts';
import { createSnapshot, deleteSnapshot, restoreSnapshot } from './snapshot-make.ts';
import { treeLines, treesOf, treesWith } from './snapshot-tree.ts';
import { watchSnapshots } from './snapshot-watch.ts';
import { allSnapshots, snapshotsCommand } from './snapshots.ts';
import { printable } from './table.ts';
import { allVolumes, type ListedVolume } from './volumes.ts';
import { Words } from './words.ts';

export const SNAPSHOT_USAGE = `Makes, shows and removes snapshots, by the names that people gave: disks and snapshots of Lightsail, volumes and
snapshots of EC2 (by id or the tag Name), and instances.

usage: varve snapshot create DISK|INSTANCE [--name NAME] [--description TEXT] [--no-wait]
       varve snapshot restore SNAPSHOT --name NAME [--size-in-gb N] [--zone ZONE] [--bundle ID]
       varve snapshot list [--all]
       varve snapshot tree [NAME|ID]
       varve snapshot watch [SNAPSHOT…]
       varve snapshot delete SNAPSHOT… [--dry-run]

create   of a disk as it is at that instant, in use or not; of an instance: of all of its disks at one instant. Its id is
         printed as soon as the instant has passed (of an instance of EC2: an id a line for each of its volumes); then it is
         watched until it is stored
  --name NAME         default: the disk's name and the time
  --description TEXT  of a snapshot of EC2
  --no-wait           return at once: the server stores it meanwhile
restore  a disk of a snapshot, or an instance of an instance's, that can be used at once: what is not here yet is fetched
         when it is read, and in the background ("varve volumes")
  --size-in-gb N      a larger disk (default: the snapshot's size)
  --bundle ID         a larger instance (default: what it was)
list     all of them with exact sizes, as "varve snapshots"
tree     what was made of what: disks, their snapshots, what was restored from these
watch    how far snapshots have come, until they are stored; without names: all that are not
delete   what other snapshots and disks need stays; the rest is given back. Where a rule of the recycle bin holds it, it stays
         there until its time is over
  --dry-run           only say what it would free

Every verb: --json as JSON (create, watch, delete: an object a line), --data DIR the server's data directory. Ids and JSON
go to standard output, how far it has come to standard error. Ctrl-C ends the watching (exit code 130); the server goes on.
`;

const COMMON = { data: { type: 'string' }, json: { type: 'boolean' } } as const;

const VERBS = new Map<string, (words: readonly string[]) => Promise<void>>([
  ['create', create],
  ['restore', restore],
  ['list', snapshotsCommand],
  ['tree', tree],
  ['watch', watch],
  ['delete', remove],
]);

/** `varve snapshot …`. Throws ConfigError for a wrong command line, CommandError for what could not be done. */
export async function snapshotCommand(words: readonly string[]): Promise<void> {
  const [verb = '', ...rest] = words;
  const perform = VERBS.get(verb);
  if (perform === undefined) {
    throw new Words('snapshot', [], {}).wrong(`the verbs are ${[...VERBS.keys()].join(', ')}, not "${verb}"`);
  }
  await perform(rest);
}

async function create(rest: readonly string[]): Promise<void> {
  const words = new Words('snapshot create', rest, {
    ...COMMON,
    name: { type: 'string' },
    description: { type: 'string' },
    'no-wait': { type: 'boolean' },
  });
  const [source] = words.take('of which disk, volume or instance? Give a name or an id');
  const options = { data: words.text('data') };
  using interrupt = new Interrupt();
  const { made, snapshots } = await createSnapshot(options, {
    source,
    name: words.text('name') ?? null,
    description: words.text('description') ?? null,
  });
  const json = words.flag('json');
  for (const one of made) process.stdout.write(`${json ? JSON.stringify(one) : one.id}\n`);
  if (!words.flag('no-wait')) await watchSnapshots(options, snapshots, { json: false, signal: interrupt.signal });
}

async function restore(rest: readonly string[]): Promise<void> {
  const words = new Words('snapshot restore', rest, {
    ...COMMON,
    name: { type: 'string' },
    'size-in-gb': { type: 'string' },
    zone: { type: 'string' },
    bundle: { type: 'string' },
  });
  const [snapshot] = words.take('which snapshot? Give a name or an id');
  const name = words.text('name');
  if (name === undefined) throw words.wrong('--name: what shall it be called?');
  const size = words.text('size-in-gb');
  if (size !== undefined && !/^[1-9][0-9]{0,5}$/.test(size))
    throw words.wrong(`--size-in-gb: "${size}" is no size in GiB`);
  const made = await restoreSnapshot(
    { data: words.text('data') },
    {
      ...{ snapshot, name, sizeGib: size === undefined ? null : Number(size) },
      ...{ zone: words.text('zone') ?? null, bundle: words.text('bundle') ?? null },
    },
  );
  process.stdout.write(words.flag('json') ? `${JSON.stringify(made)}\n` : `${made.id}\n`);
  if (!words.flag('json')) {
    const next =
      made.kind === 'instance' ? `varve ssh ${name}` : `varve connect ${name}, or varve mount ${name} DIRECTORY`;
    process.stderr.write(`It can be used: ${next}\n`);
  }
}

async function tree(rest: readonly string[]): Promise<void> {
  const words = new Words('snapshot tree', rest, COMMON);
  const [name] = words.positionals;
  if (words.positionals.length > 1) throw words.wrong('one name, or none');
  const options: ConfigOptions = { data: words.text('data') };
  const [volumes, snapshots] = await Promise.all([allVolumes(options), allSnapshots(options)]);
  const trees = treesOf(volumes, snapshots);
  const chosen = name === undefined ? trees : treesWith(trees, idsOf(await findResource(options, name), volumes));
  if (words.flag('json')) process.stdout.write(`${JSON.stringify({ trees: chosen }, null, 2)}\n`);
  else if (trees.length === 0) process.stdout.write('There are no disks and no snapshots.\n');
  else if (chosen.length === 0) process.stdout.write(`Nothing is made of ${printable(name ?? '')} now.\n`);
  else for (const line of treeLines(chosen)) process.stdout.write(`${line}\n`);
}

/** What stands in trees of a resource: an instance has its disks there, its snapshot the snapshots of these. */
function idsOf({ id, parts }: ListedResource, volumes: readonly ListedVolume[]): ReadonlySet<string> {
  return new Set([id, ...parts, ...volumes.filter(({ instance }) => instance === id).map((volume) => volume.id)]);
}

async function watch(rest: readonly string[]): Promise<void> {
  const words = new Words('snapshot watch', rest, COMMON);
  const options = { data: words.text('data') };
  using interrupt = new Interrupt();
  const ids: string[] = [];
  for (const name of words.positionals) {
    const { kind, id, parts } = await findResource(options, name);
    if (kind !== 'snapshot' && kind !== 'instance-snapshot') {
      throw new CommandError(`${name} is no snapshot; "varve snapshot list" shows them`);
    }
    ids.push(...(kind === 'snapshot' ? [id] : parts));
  }
  await watchSnapshots(options, ids, { json: words.flag('json'), signal: interrupt.signal });
}

async function remove(rest: readonly string[]): Promise<void> {
  const words = new Words('snapshot delete', rest, { ...COMMON, 'dry-run': { type: 'boolean' } });
  if (words.positionals.length === 0) throw words.wrong('which snapshot? Give a name or an id');
  const options = { data: words.text('data') };
  const dry = words.flag('dry-run');
  const found: ListedResource[] = [];
  for (const name of words.positionals) {
    const resource = await findResource(options, name);
    if (resource.kind !== 'snapshot' && resource.kind !== 'instance-snapshot') {
      throw new CommandError(`${name} is no snapshot; nothing was deleted`);
    }
    found.push(resource);
  }
  const ofAll: string[] = [];
  for (const snapshot of found) {
    const { id, kind, parts } = snapshot;
    const ids = kind === 'snapshot' ? [id] : parts;
    ofAll.push(...ids);
    const freedBytes = await freedBytesOf(options, ids);
    const recycled = dry ? false : await deleteSnapshot(options, snapshot);
    const size = formatBytes(freedBytes);
    if (words.flag('json')) process.stdout.write(`${JSON.stringify({ id, deleted: !dry, recycled, freedBytes })}\n`);
    else if (dry) process.stdout.write(`${id}: would free ${size}, what nothing else needs\n`);
    else if (recycled)
      process.stdout.write(`${id}: in the recycle bin; ${size} are given back when its time is over\n`);
    else process.stdout.write(`${id}: deleted; ${size} are given back\n`);
  }
  if (!dry || found.length < 2 || words.flag('json')) return;
  process.stdout.write(`all of them together: ${formatBytes(await freedBytesOf(options, ofAll))}\n`);
}

/**
 * The main job, end to end, on real bytes, narrated: a file system on a disk served over NBD; a snapshot while files are
 * being written; a disk restored from it, checked file by file; the same snapshot through Lightsail, EC2 and EBS direct.
 * Needs root (it mounts), aws, nbdfuse, nbdcopy, e2fsprogs. `npm run demo`; `--megabytes N` (default 320).
 *
 * Snapshots are stored in the server's data directory, or in a bucket: `--s3` starts Ceph for it, with its data in memory;
 * `--store s3://BUCKET[/PREFIX]` (with `--s3-endpoint URL`, `--s3-region NAME`) uses one that is there, and removes
 * what it stored below a prefix of its own.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { cp, mkdir, mkdtemp, open, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { DemoBucket } from './demo-bucket.ts';
import { MountedVolume } from '../test/mounted-volume.ts';
import { proportionalBytes, RunningServer } from '../test/running-server.ts';
import { run, runOk } from '../test/run.ts';
import { check, say, timed } from './demo-words.ts';

const MIB = 1024 * 1024;
const CHUNK_BYTES = 512 * 1024;

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: MIB })) hash.update(piece as Buffer);
  return hash.digest('hex');
}

/** Copies real files of this machine until there are enough bytes; the checksum of each by its path on the disk. */
async function fillWithRealFiles(target: string, bytes: number): Promise<Map<string, string>> {
  const sums = new Map<string, string>();
  let copied = 0;
  for (const source of [
    '/usr/bin',
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/aarch64-linux-gnu',
    '/usr/share/doc',
    '/usr/lib',
  ]) {
    const entries = await readdir(source, { withFileTypes: true, recursive: true }).catch(() => []);
    for (const entry of entries) {
      if (copied >= bytes) return sums;
      if (!entry.isFile()) continue;
      const from = join(entry.parentPath, entry.name);
      const name = `file-${String(sums.size).padStart(5, '0')}`;
      const { size } = await stat(from);
      if (size === 0 || size > 64 * MIB) continue;
      await cp(from, join(target, name));
      sums.set(name, await sha256OfFile(from));
      copied += size;
    }
  }
  if (copied < bytes) throw new Error(`found only ${copied} bytes of files to copy`);
  return sums;
}

/** Writes small files one after another, each flushed, until stopped; knows which were flushed at any instant. */
class Writer {
  readonly flushed = new Map<string, string>();
  readonly #directory: string;
  #stopping = false;
  readonly #done: Promise<void>;

  constructor(directory: string) {
    this.#directory = directory;
    this.#done = this.#write();
  }

  async #write(): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    for (let index = 0; !this.#stopping; index += 1) {
      const name = `running-${String(index).padStart(5, '0')}`;
      const content = createHash('sha512').update(name).digest().toString('hex').repeat(256);
      const file = await open(join(this.#directory, name), 'w');
      await file.writeFile(content);
      await file.sync();
      await file.close();
      const directory = await open(this.#directory, 'r');
      await directory.sync();
      await directory.close();
      this.flushed.set(name, createHash('sha256').update(content).digest('hex'));
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }
}

async function expectFiles(directory: string, sums: ReadonlyMap<string, string>): Promise<number> {
  let wrong = 0;
  for (const [name, sum] of sums) {
    const found = await sha256OfFile(join(directory, name)).catch(() => 'absent');
    if (found !== sum) wrong += 1;
  }
  return wrong;
}

interface DiskSnapshotReply {
  readonly diskSnapshot: { readonly state: string; readonly progress?: string; readonly supportCode: string };
}

async function waitCompleted(server: RunningServer, name: string): Promise<{ id: string; seen: readonly string[] }> {
  const seen: string[] = [];
  for (;;) {
    const { diskSnapshot } = await server.awsJson<DiskSnapshotReply>([
      'lightsail',
      'get-disk-snapshot',
      '--disk-snapshot-name',
      name,
    ]);
    const shown = `${diskSnapshot.state} ${diskSnapshot.progress ?? ''}`.trim();
    if (seen.at(-1) !== shown) seen.push(shown);
    if (diskSnapshot.state === 'completed') return { id: diskSnapshot.supportCode.split('/')[1] ?? '', seen };
    if (diskSnapshot.state === 'error') throw new Error(`${name} ended in error`);
  }
}

async function directoryBytes(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

/** What the server stores in packs and manifests. */
async function storedBytes(dataDirectory: string, bucket: DemoBucket | null): Promise<number> {
  return bucket === null ? await directoryBytes(join(dataDirectory, 'objects')) : await bucket.storedBytes();
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}

/** All bytes of an export as a sparse file. */
async function copyTo(server: RunningServer, nameOrId: string, path: string): Promise<void> {
  await runOk('nbdcopy', [await server.uri(nameOrId), path]);
}

/** Compares every byte of the two, with qemu-img. */
async function isEqual(server: RunningServer, nameOrId: string, path: string): Promise<boolean> {
  const uri = await server.uri(nameOrId);
  return (await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', uri, path])).code === 0;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      megabytes: { type: 'string', default: '320' },
      s3: { type: 'boolean', default: false },
      store: { type: 'string' },
      's3-endpoint': { type: 'string' },
      's3-region': { type: 'string' },
    },
  });
  const fillBytes = Number(values.megabytes) * MIB;
  const work = await mkdtemp(join(tmpdir(), 'varve-demo-'));
  const free = await statfs(work);
  if (free.bavail * free.bsize < fillBytes * 6) throw new Error(`${work} has too little room`);
  try {
    await using bucket = await DemoBucket.open({
      startCeph: values.s3,
      store: values.store,
      s3Endpoint: values['s3-endpoint'],
      s3Region: values['s3-region'],
    });
    await demonstrate(work, fillBytes, bucket);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function demonstrate(work: string, fillBytes: number, bucket: DemoBucket | null): Promise<void> {
  say(
    `1. A server, with everything in one directory${bucket === null ? '' : ` but its objects, which go to ${bucket.url}`}`,
  );
  const options = bucket === null ? {} : { args: bucket.serveOptions, environment: bucket.environment };
  await using server = await timed('started', () => RunningServer.start(options));
  const { dataDirectory } = server;
  say(`   endpoint ${server.endpoint}`);
  const memory = [server.processId, await server.hostProcessId()].map(proportionalBytes);
  say(`   memory at rest (PSS): ${mib(memory.reduce((sum, bytes) => sum + bytes, 0))} in ${memory.length} processes`);

  say('2. A disk, by the aws CLI; an ext4 file system on it, over NBD');
  await timed('aws lightsail create-disk', () =>
    server.awsJson([
      'lightsail',
      'create-disk',
      '--disk-name',
      'demo',
      '--availability-zone',
      'us-east-1a',
      '--size-in-gb',
      '8',
    ]),
  );
  const uri = await server.uri('demo');
  say(`   varve connect demo → ${uri}`);
  const volume = await MountedVolume.attach(uri, join(work, 'source'));
  await timed('mkfs.ext4', () => volume.makeFileSystem());
  await volume.mount();
  const sums = await timed(`${mib(fillBytes)} of real files copied and flushed`, async () => {
    const made = await fillWithRealFiles(volume.path, fillBytes);
    await volume.sync();
    return made;
  });
  say(`   ${sums.size} files`);

  say('3. A snapshot while files are being written');
  const writer = new Writer(join(volume.path, 'running'));
  while (writer.flushed.size < 20) await systemClock.sleep(20);
  const flushedBefore = new Map(writer.flushed);
  await timed('aws lightsail create-disk-snapshot', () =>
    server.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', 'demo', '--disk-snapshot-name', 'demo-1']),
  );
  const names = [...sums.keys()];
  for (const name of names.slice(0, 50)) await writeFile(join(volume.path, name), 'written after the snapshot');
  await volume.sync();
  const first = await timed('completed', () => waitCompleted(server, 'demo-1'));
  say(`   states seen: ${first.seen.join(' → ')}`);
  await writer.stop();
  say(`   ${flushedBefore.size} files were flushed before the call; the writer made ${writer.flushed.size} in all`);
  say(`   50 of the files were overwritten while it was pending`);
  const storedFirst = await storedBytes(dataDirectory, bucket);
  say(`   store: ${mib(storedFirst)}`);

  say('4. A disk from the snapshot');
  await timed('aws lightsail create-disk-from-snapshot', () =>
    server.awsJson([
      'lightsail',
      'create-disk-from-snapshot',
      '--disk-name',
      'restored',
      '--disk-snapshot-name',
      'demo-1',
      '--availability-zone',
      'us-east-1a',
      '--size-in-gb',
      '8',
    ]),
  );
  const restored = await MountedVolume.attach(await server.uri('restored'), join(work, 'restored'));
  await restored.mount(); // Replays the journal, as after a power cut.
  check(
    (await expectFiles(restored.path, sums)) === 0,
    `all ${sums.size} files have their checksum, the overwritten ones too`,
  );
  check(
    (await expectFiles(join(restored.path, 'running'), flushedBefore)) === 0,
    `every file flushed before the call is there with its checksum`,
  );
  await restored.unmount();
  const fsck = await run('e2fsck', ['-fn', restored.devicePath]);
  check(fsck.code === 0, `e2fsck -fn finds nothing (${fsck.stdout.trim().split('\n').at(-1) ?? ''})`);
  await restored.detach();

  say('5. A second snapshot after changing 1 %');
  await volume.sync();
  const changedBytes = await overwriteBlocks(volume.path, names.slice(50), fillBytes / 100);
  await volume.sync();
  await server.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', 'demo', '--disk-snapshot-name', 'demo-2']);
  const second = await timed('completed', () => waitCompleted(server, 'demo-2'));
  const changed = await server.awsJson<{ readonly ChangedBlocks: readonly unknown[] }>([
    'ebs',
    'list-changed-blocks',
    '--first-snapshot-id',
    first.id,
    '--second-snapshot-id',
    second.id,
    '--max-results',
    '10000',
  ]);
  const grown = (await storedBytes(dataDirectory, bucket)) - storedFirst;
  say(
    `   overwritten: ${mib(changedBytes)}; chunks that differ: ${changed.ChangedBlocks.length} (${mib(changed.ChangedBlocks.length * CHUNK_BYTES)}); store grew by ${mib(grown)}`,
  );
  check(grown < storedFirst / 4, 'it stored only what changed');

  say('6. One snapshot, three services');
  const described = await server.awsJson<{
    readonly Snapshots: readonly { readonly State: string; readonly VolumeSize: number }[];
  }>(['ec2', 'describe-snapshots', '--snapshot-ids', first.id]);
  check(
    described.Snapshots[0]?.State === 'completed',
    `ec2 describe-snapshots ${first.id}: completed, ${described.Snapshots[0]?.VolumeSize} GiB`,
  );
  const made = await server.awsJson<{ readonly VolumeId: string }>([
    'ec2',
    'create-volume',
    '--snapshot-id',
    first.id,
    '--availability-zone',
    'us-east-1a',
  ]);
  const image = join(work, 'image');
  await timed('nbdcopy of the snapshot itself', () => copyTo(server, 'demo-1', image));
  const same = await timed(`qemu-img compare with ${made.VolumeId}, made by EC2`, () =>
    isEqual(server, made.VolumeId, image),
  );
  check(same, 'every byte is the same');
  const blocks = await server.awsJson<{
    readonly Blocks: readonly { readonly BlockIndex: number; readonly BlockToken: string }[];
  }>(['ebs', 'list-snapshot-blocks', '--snapshot-id', first.id, '--max-results', '1000']);
  let equal = 0;
  const chosen = blocks.Blocks.filter((_block, index) => index % Math.ceil(blocks.Blocks.length / 8) === 0);
  for (const block of chosen) {
    const out = join(work, 'block');
    await server.awsJson([
      'ebs',
      'get-snapshot-block',
      '--snapshot-id',
      first.id,
      '--block-index',
      String(block.BlockIndex),
      '--block-token',
      block.BlockToken,
      out,
    ]);
    const file = await open(image, 'r');
    const expected = Buffer.alloc(CHUNK_BYTES);
    await file.read(expected, 0, CHUNK_BYTES, block.BlockIndex * CHUNK_BYTES);
    await file.close();
    if (expected.equals(await readFile(out))) equal += 1;
  }
  check(equal === chosen.length, `${equal} blocks by ebs get-snapshot-block have the same bytes`);

  say('7. The disk goes, the snapshot stays');
  await volume.unmount();
  await volume.detach();
  await server.awsJson(['lightsail', 'delete-disk', '--disk-name', 'demo']);
  check(await isEqual(server, 'demo-1', image), 'the snapshot reads the same without its disk');
  check((await server.stop()) === 0, 'the server stopped in order');
  await rm(dataDirectory, { recursive: true, force: true });
}

/** Overwrites whole 4 KiB blocks in the middle of files, one in a hundred of their bytes, in runs as an application would. */
async function overwriteBlocks(directory: string, names: readonly string[], bytes: number): Promise<number> {
  let written = 0;
  for (const name of names) {
    const path = join(directory, name);
    const { size } = await stat(path);
    if (size < MIB) continue;
    const file = await open(path, 'r+');
    const run = Math.min(256 * 1024, bytes - written);
    await file.write(
      createHash('sha512')
        .update(name)
        .digest()
        .toString('hex')
        .repeat(run / 128),
      4096,
    );
    await file.close();
    written += run;
    if (written >= bytes) break;
  }
  return written;
}

await main();

import assert from 'node:assert/strict';
import { constants, createHash, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { requireTools } from '../clients.ts';
import { run, runOk, type RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { rawCall } from './raw-call.ts';

type Json = Readonly<Record<string, unknown>>;

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const MARKER = Buffer.alloc(4096, 0xa7);
const ZONE = ['--availability-zone', 'us-east-1a'];
const HERE = ['--source-region', 'us-east-1'];

async function kms(server: RunningServer, operation: string, input: object): Promise<Json> {
  const { status, text } = await rawCall(server, { service: 'kms', operation, body: JSON.stringify(input) });
  assert.equal(status, 200, text);
  return text === '' ? {} : (JSON.parse(text) as Json);
}

/** Brings material for a key that waits for it. */
async function bring(server: RunningServer, KeyId: string, material: Buffer): Promise<void> {
  const WrappingAlgorithm = 'RSAES_OAEP_SHA_256';
  const wanted = { KeyId, WrappingAlgorithm, WrappingKeySpec: 'RSA_2048' };
  const { PublicKey, ImportToken } = await kms(server, 'GetParametersForImport', wanted);
  const key = createPublicKey({ key: Buffer.from(String(PublicKey), 'base64'), format: 'der', type: 'spki' });
  const wrapped = publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, material);
  const EncryptedKeyMaterial = wrapped.toString('base64');
  const ExpirationModel = 'KEY_MATERIAL_DOES_NOT_EXPIRE';
  await kms(server, 'ImportKeyMaterial', { KeyId, ImportToken, EncryptedKeyMaterial, ExpirationModel });
}

/** Snapshots are read only. */
async function qemuIo(uri: string, ...commands: readonly string[]): Promise<void> {
  const how = uri.includes('///snap-') ? ['-r', '-f', 'raw'] : ['-f', 'raw'];
  const result = await run('qemu-io', [...how, ...commands.flatMap((one) => ['-c', one]), uri]);
  assert.equal(result.code, 0, result.stdout + result.stderr);
  assert.doesNotMatch(result.stdout + result.stderr, /verification failed|error/i);
}

async function filesWith(directory: string, marker: Buffer): Promise<readonly string[]> {
  const found: string[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if ((await readFile(path)).includes(marker)) found.push(path);
  }
  return found;
}

class Cloud {
  readonly server: RunningServer;

  constructor(server: RunningServer) {
    this.server = server;
  }

  async ec2(...words: readonly string[]): Promise<Json> {
    return await this.server.awsJson<Json>(['ec2', ...words]);
  }

  async snapshotOf(volume: string): Promise<string> {
    return await this.completed(String((await this.ec2('create-snapshot', '--volume-id', volume))['SnapshotId']));
  }

  async copyOf(snapshot: string, ...more: readonly string[]): Promise<string> {
    const made = await this.ec2('copy-snapshot', '--source-snapshot-id', snapshot, ...HERE, ...more);
    return await this.completed(String(made['SnapshotId']));
  }

  async volumeOf(...more: readonly string[]): Promise<string> {
    return String((await this.ec2('create-volume', ...ZONE, '--size', '1', ...more))['VolumeId']);
  }

  async until(snapshot: string, is: (view: Json) => boolean): Promise<void> {
    for (;;) {
      const { Snapshots } = await this.ec2('describe-snapshots', '--snapshot-ids', snapshot);
      const view = (Snapshots as readonly Json[])[0] ?? {};
      assert.notEqual(view['State'], 'error', String(view['StateMessage']));
      if (is(view)) return;
      await systemClock.sleep(100);
    }
  }

  async completed(snapshot: string): Promise<string> {
    await this.until(snapshot, ({ State }) => State === 'completed');
    return snapshot;
  }

  /** As a backup tool writes one: one block of the marker at 1 MiB. */
  async written(directory: string, kmsKeyArn: string): Promise<string> {
    const ebs = async (...words: readonly string[]): Promise<Json> =>
      await this.server.awsJson<Json>(['ebs', ...words]);
    const encryption = ['--encrypted', '--kms-key-arn', kmsKeyArn];
    const id = String((await ebs('start-snapshot', '--volume-size', '1', ...encryption))['SnapshotId']);
    const block = Buffer.alloc(CHUNK_BYTES, MARKER);
    const path = join(directory, 'block');
    await writeFile(path, block);
    const checksum = createHash('sha256').update(block).digest('base64');
    const summed = ['--checksum', checksum, '--checksum-algorithm', 'SHA256', '--data-length', String(CHUNK_BYTES)];
    await ebs('put-snapshot-block', '--snapshot-id', id, '--block-index', '2', '--block-data', path, ...summed);
    await ebs('complete-snapshot', '--snapshot-id', id, '--changed-blocks-count', '1');
    await writeFile(path, '');
    return await this.completed(id);
  }
}

test('what an encrypted snapshot holds is in no file, and out of reach of everybody without the key material', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const data = join(scratchDirectory('kms-snapshots'), 'data');
  const aside = scratchDirectory('kms-snapshots-aside');
  const material = randomBytes(32);
  let keyId = '';
  let keyArn = '';
  const under: string[] = [];
  let elsewhere = '';
  let plain = '';
  const rescue = async (...words: readonly string[]): Promise<RunResult> => {
    const place = ['--store', join(data, 'objects'), '--key', join(data, 'master.key')];
    return await run(process.execPath, [CLI, 'rescue', ...words, ...place]);
  };
  {
    await using server = await RunningServer.start({ data });
    const cloud = new Cloud(server);
    const made = (await kms(server, 'CreateKey', { Origin: 'EXTERNAL' }))['KeyMetadata'] as Json;
    [keyId, keyArn] = [String(made['KeyId']), String(made['Arn'])];
    await bring(server, keyId, material);
    const other = (await kms(server, 'CreateKey', {}))['KeyMetadata'] as Json;
    const named = ['--encrypted', '--kms-key-id', keyId];

    const volume = await cloud.volumeOf(...named);
    await qemuIo(await server.uri(volume), 'write -P 0xa7 1M 1M', 'flush');
    const first = await cloud.snapshotOf(volume);
    // An increment, with a delta.
    await qemuIo(await server.uri(volume), 'write -P 0xa7 1028k 4k', 'write -P 0x11 1032k 4k', 'flush');
    under.push(first, await cloud.snapshotOf(volume), await cloud.copyOf(first, ...named));
    under.push(await cloud.written(aside, keyArn));
    // A volume of it, and what is made of that.
    under.push(await cloud.snapshotOf(await cloud.volumeOf('--snapshot-id', first)));
    const archived = await cloud.copyOf(first, ...named);
    await cloud.ec2('modify-snapshot-tier', '--snapshot-id', archived, '--storage-tier', 'archive');
    await cloud.until(archived, ({ StorageTier }) => StorageTier === 'archive');
    elsewhere = await cloud.copyOf(first, '--encrypted', '--kms-key-id', String(other['KeyId']));
    assert.deepEqual(await filesWith(data, MARKER), []);

    // What was not encrypted, and is from now on: nothing of it is shared.
    const open = await cloud.volumeOf();
    await qemuIo(await server.uri(open), 'write -P 0xa7 1M 1M', 'flush');
    plain = await cloud.snapshotOf(open);
    under.push(await cloud.copyOf(plain, ...named));
    const turned = await cloud.volumeOf('--snapshot-id', plain, ...named);
    under.push(await cloud.snapshotOf(turned));
    for (const snapshot of [...under, elsewhere, plain]) await qemuIo(await server.uri(snapshot), 'read -P 0xa7 1M 4k');

    const listed = await server.awsJson<Json>(['ebs', 'list-snapshot-blocks', '--snapshot-id', first]);
    const token = String((listed['Blocks'] as readonly Json[])[0]?.['BlockToken']);
    const block = ['ebs', 'get-snapshot-block', '--snapshot-id', first, '--block-index', '2', '--block-token', token];
    await server.awsJson<Json>([...block, join(aside, 'out')]);
    assert.ok((await readFile(join(aside, 'out'))).includes(MARKER));
    await kms(server, 'DeleteImportedKeyMaterial', { KeyId: keyId });
    const refused = await server.aws([...block, join(aside, 'out-again')]);
    assert.match(refused.stderr, /ResourceNotFoundException|ValidationException|AccessDenied/);
  }
  {
    await using server = await RunningServer.start({ data });
    const cloud = new Cloud(server);
    for (const snapshot of under) {
      const connected = await server.varve(['connect', snapshot]);
      assert.notEqual(connected.code, 0, connected.stdout);
      assert.match(connected.stderr, /KMS key .* cannot be used/);
    }
    await assert.rejects(cloud.volumeOf('--snapshot-id', under[0] ?? ''), /InvalidKMSKey/);
    // Each of them stands by itself.
    for (const snapshot of [elsewhere, plain]) await qemuIo(await server.uri(snapshot), 'read -P 0xa7 1M 4k');
  }
  // One of an encrypted volume, and one of a volume that was made of what was open.
  for (const snapshot of [under[0] ?? '', under.at(-1) ?? '']) {
    const without = await rescue('export', snapshot, join(aside, 'image.raw'));
    assert.equal(without.code, 1);
    assert.ok(without.stderr.includes(keyArn) && without.stderr.includes('--metadata'), without.stderr);
    const pending = await rescue('export', snapshot, join(aside, 'image.raw'), '--metadata', join(data, 'meta.db'));
    assert.equal(pending.code, 1);
    assert.match(pending.stderr, /does not open it.*pending-import/);
  }
  assert.match((await rescue('list')).stdout, new RegExp(keyArn));
  const verified = await rescue('verify');
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stdout, /under data keys that were not given/);
  {
    await using server = await RunningServer.start({ data });
    const whole = await server.varve(['verify']);
    assert.equal(whole.code, 0, whole.stdout + whole.stderr);
    assert.match(whole.stdout, /sealed under data keys/);
    await bring(server, keyId, material);
    const [first = ''] = under;
    await qemuIo(await server.uri(first), 'read -P 0xa7 1M 4k', 'read -P 0 2M 1M');
  }
  const image = join(aside, 'image.raw');
  await runOk(process.execPath, [
    ...[CLI, 'rescue', 'export', under[0] ?? '', image, '--metadata', join(data, 'meta.db')],
    ...['--store', join(data, 'objects'), '--key', join(data, 'master.key')],
  ]);
  assert.ok(
    (await readFile(image))
      .subarray(1024 * 1024)
      .subarray(0, 4096)
      .equals(MARKER),
  );
});

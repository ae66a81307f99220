import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { FakeS3Server } from '#chunk/s3-server.fake.ts';

import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');

/** A command that runs, and what it has said so far. */
class Running {
  out = '';
  errors = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;

  constructor(words: readonly string[]) {
    const child = spawn(process.execPath, [CLI, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    this.#child = child;
    this.#ended = new Promise((resolve) => child.on('close', resolve));
  }

  /** Waits until it has said this on one of its outputs. */
  async said(what: RegExp): Promise<void> {
    while (!what.test(this.out + this.errors)) {
      assert.equal(this.#child.exitCode, null, `it ended: ${this.out}${this.errors}`);
      await systemClock.sleep(10);
    }
  }

  /** Ctrl-C, as terminal and launcher send it; the exit code. */
  async interrupt(): Promise<number | null> {
    this.#child.kill('SIGINT');
    this.#child.kill('SIGINT');
    return await this.ended();
  }

  async ended(): Promise<number | null> {
    return await this.#ended;
  }
}

test('Ctrl-C ends the waiting with 130 and a sentence, and the server goes on', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  await using bucket = await FakeS3Server.start();
  const place = bucket.location('kept/');
  const store = ['--store', `s3://${place.bucket}/kept`, '--s3-endpoint', place.endpoint ?? ''];
  const how = { args: [...store, '--s3-region', place.region], environment: bucket.environment() };
  await using server = await RunningServer.start(how);
  const data = ['--data', server.dataDirectory];
  const zone = ['--availability-zone', 'us-east-1a'];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...zone, '--size-in-gb', '8']);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 7 1M 2M', '-c', 'flush', await server.uri('disk-1')]);

  // The bucket takes nothing for now: a snapshot is on its way, and a collection.
  bucket.fault = ({ method }) => (method === 'PUT' ? { kind: 'error', status: 503, code: 'SlowDown' } : null);
  const create = new Running(['snapshot', 'create', 'disk-1', '--name', 'slow', ...data]);
  await create.said(/^snap-[0-9a-f]{17}\n/);
  const id = create.out.trim();
  assert.equal(await create.interrupt(), 130, create.errors);
  assert.match(
    create.errors,
    new RegExp(
      `^varve: not watched to the end; the server goes on\\. See how far it is: varve snapshot watch ${id}\n$`,
    ),
  );

  const trace = new Running(['trace', ...data]);
  await trace.said(/Ctrl-C ends it/);
  assert.equal(await trace.interrupt(), 130, trace.errors);
  assert.match(trace.errors, /not followed any more\. .*varve audit list/);

  // One that is watched goes on through a restart of the server; one that is deleted meanwhile is told of.
  const watch = new Running(['snapshot', 'watch', 'slow', '--json', ...data]);
  const doomed = (await server.varve(['snapshot', 'create', 'disk-1', '--name', 'doomed', '--no-wait'])).stdout.trim();
  const lost = new Running(['snapshot', 'watch', 'doomed', ...data, '--json']);
  await Promise.all([watch.said(/"pending"/), lost.said(/"pending"/)]);
  await server.awsJson(['lightsail', 'delete-disk-snapshot', '--disk-snapshot-name', 'doomed']);
  assert.equal(await lost.ended(), 1);
  assert.match(lost.errors, /^varve: the snapshot doomed was deleted\n$/);
  assert.match(lost.out.trim().split('\n').at(-1) ?? '', new RegExp(`"id":"${doomed}".*"state":"gone"`));
  assert.equal((await server.varve(['snapshot', 'watch', 'doomed'])).code, 1);

  await server.stop();
  await watch.said(/The server is away/);
  bucket.fault = () => null;
  await using _again = await RunningServer.start({ ...how, data: server.dataDirectory });
  assert.equal(await watch.ended(), 0, watch.errors);
  assert.match(watch.out.trim().split('\n').at(-1) ?? '', new RegExp(`"${id}".*"state":"completed"`));
});

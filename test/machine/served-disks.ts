import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';

import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { newVolumeId } from '#domain/ids.ts';
import type { MachineDisk } from '#machine/hypervisor.ts';

/** Disks for machines under test, without a server of ours: files, each an export of one nbdkit on a unix socket. */
export class ServedDisks {
  readonly directory: string;
  readonly socketPath: string;
  #server: ChildProcess | null = null;

  constructor(scratch: string) {
    this.directory = join(scratch, 'disks');
    this.socketPath = join(scratch, 'nbd.sock');
    mkdirSync(this.directory);
  }

  async start(): Promise<void> {
    rmSync(this.socketPath, { force: true }); // A server that was killed left it.
    const args = ['-f', '-U', this.socketPath, 'file', `dir=${this.directory}`];
    this.#server = spawn('nbdkit', args, { stdio: 'ignore' });
    await waitFor('nbdkit listens', async () => await canConnect(this.socketPath));
  }

  /** Kills the server, with whatever it was doing. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null || server.exitCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
  }

  /** A new disk that holds `content` and zeros. */
  add(device: string, content: Uint8Array, sizeBytes: number): MachineDisk {
    const volume = newVolumeId(systemRandom);
    const path = join(this.directory, volume);
    writeFileSync(path, content);
    truncateSync(path, sizeBytes);
    return { volume, socketPath: this.socketPath, exportName: volume, device };
  }

  pathOf(disk: MachineDisk): string {
    return join(this.directory, disk.volume);
  }
}

/** Asks until the answer is yes. Machines are emulated, and others use the processors too: there is much time. */
export async function waitFor(what: string, condition: () => Promise<boolean>, timeoutMs = 120_000): Promise<void> {
  const untilMs = systemClock.monotonicMs() + timeoutMs;
  while (!(await condition())) {
    if (systemClock.monotonicMs() > untilMs) throw new Error(`waited in vain: ${what}`);
    await systemClock.sleep(25);
  }
}

/** TCP ports of 127.0.0.1 that nobody had a moment ago. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => addressOf(server.address()).port);
  await Promise.all(servers.map(async (server) => await once(server.close(), 'close')));
  return ports;
}

function addressOf(address: AddressInfo | string | null): AddressInfo {
  if (address === null || typeof address === 'string') throw new Error('a TCP server has an address');
  return address;
}

async function canConnect(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

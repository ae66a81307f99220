import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { RunningServer } from '../running-server.ts';
import { run } from '../run.ts';

const GIB = 1024 ** 3;
const VOLUME_STATES_TRIED_MAX = 100;
const STOP_MS_MAX = 5_000;

/** An NBD server that is measured, at an address that fio understands. */
export interface Target extends AsyncDisposable {
  readonly name: string;
  readonly uri: string;
}

/** The product, and the volume of it that is measured. */
export interface VarveTarget extends Target {
  readonly server: RunningServer;
  readonly volume: string;
}

/** The product: `varve serve` on an empty data directory under `directory`, with one volume of `sizeGib`. `args`: further options of the server. */
export async function startVarve(
  directory: string,
  sizeGib: number,
  args: readonly string[] = [],
): Promise<VarveTarget> {
  const server = await RunningServer.start({ data: join(directory, 'varve'), args });
  const stop = async (): Promise<void> => {
    const host = await server.hostProcessId();
    await server.stop();
    if (host > 1) await endProcess(host);
  };
  try {
    const volume = await server.awsJson<{ readonly VolumeId: string }>([
      ...['ec2', 'create-volume', '--size', String(sizeGib), '--availability-zone', 'us-east-1a'],
    ]);
    await untilAvailable(server, volume.VolumeId);
    const uri = await server.uri(volume.VolumeId);
    return { name: 'varve', uri, server, volume: volume.VolumeId, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Our NBD server alone, in a process of its own, on a flat file. */
export async function startServerAlone(directory: string, file: string, sizeGib: number): Promise<Target> {
  const socket = join(directory, 'alone.sock');
  const script = join(import.meta.dirname, 'nbd-target.ts');
  const child = spawn(process.execPath, [script, '--socket', socket, '--file', file, '--size', String(sizeGib * GIB)], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  return targetOf('server alone', socket, child);
}

export async function startNbdkit(directory: string, file: string): Promise<Target> {
  const socket = join(directory, 'nbdkit.sock');
  const child = spawn('nbdkit', ['-f', '-U', socket, 'file', file], { stdio: 'ignore' });
  return await untilListening(targetOf('nbdkit', socket, child), socket);
}

export async function startQemu(directory: string, file: string): Promise<Target> {
  const socket = join(directory, 'qemu.sock');
  const child = spawn('qemu-nbd', ['-f', 'raw', '-t', '-e', '16', '-k', socket, file], { stdio: 'ignore' });
  return await untilListening(targetOf('qemu', socket, child), socket);
}

function targetOf(name: string, socket: string, child: ChildProcess): Target {
  return {
    name,
    uri: nbdUri('', socket),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function untilListening(target: Target, socket: string): Promise<Target> {
  for (let tried = 0; tried < VOLUME_STATES_TRIED_MAX; tried += 1) {
    const listens = await access(socket).then(
      () => true,
      () => false,
    );
    if (listens && (await run('nbdinfo', ['--size', target.uri])).code === 0) return target;
    await systemClock.sleep(50);
  }
  await target[Symbol.asyncDispose]();
  throw new Error(`${target.name} does not answer`);
}

async function untilAvailable(server: RunningServer, volume: string): Promise<void> {
  for (let tried = 0; tried < VOLUME_STATES_TRIED_MAX; tried += 1) {
    const { Volumes } = await server.awsJson<{ readonly Volumes: readonly { readonly State: string }[] }>([
      ...['ec2', 'describe-volumes', '--volume-ids', volume],
    ]);
    if (Volumes[0]?.State === 'available') return;
    await systemClock.sleep(100);
  }
  throw new Error(`volume ${volume} does not become available`);
}

/** Ends a process that we started through another, and waits for it. */
async function endProcess(pid: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < STOP_MS_MAX; waitedMs += 50) {
    try {
      process.kill(pid, waitedMs === 0 ? 'SIGTERM' : 0);
    } catch {
      return; // Gone.
    }
    await systemClock.sleep(50);
  }
}

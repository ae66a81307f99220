import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { systemClock } from '#base/clock.ts';

import { runOk } from '../run.ts';

/** Emulated processors on a loaded machine: what takes seconds may take minutes. */
const WAIT_MS_MAX = 120_000;
const POLL_MS = 50;

/** A seed of cloud-init's NoCloud, as a FAT image. Answers its path. */
export async function makeSeed(
  directory: string,
  { metaData, userData }: { readonly metaData: string; readonly userData: string },
): Promise<string> {
  const path = join(directory, 'seed.img');
  await writeFile(path, Buffer.alloc(1024 * 1024));
  await runOk('mkfs.fat', ['-n', 'CIDATA', path]);
  for (const [name, text] of Object.entries({ 'meta-data': metaData, 'user-data': userData })) {
    await writeFile(join(directory, name), text);
    await runOk('mcopy', ['-o', '-i', path, join(directory, name), `::${name}`]);
  }
  return path;
}

/** A guest in a QEMU of its own, without the server: for what is inside the image. Ends with this process, however that ends. */
export class TinyGuest implements AsyncDisposable {
  readonly #directory: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  #errors = '';

  private constructor(directory: string, qemu: ChildProcess) {
    this.#directory = directory;
    this.#process = qemu;
    this.#exited = once(qemu, 'exit');
    qemu.stderr?.on('data', (piece: Buffer) => (this.#errors += piece.toString()));
  }

  /** `directory`: for its sockets and its console's log. */
  static async boot(
    directory: string,
    { disk, seed }: { readonly disk: string; readonly seed: string },
  ): Promise<TinyGuest> {
    await writeFile(join(directory, 'console.log'), '');
    const drive = (id: string, path: string, more: string): readonly string[] => [
      ...['-drive', `file=${path},format=raw,if=none,id=${id}${more}`],
      ...['-device', `virtio-blk-pci,drive=${id},serial=${id}`],
    ];
    const args = [
      ...['-machine', 'q35,smbus=off,sata=off,usb=off,vmport=off', '-accel', 'tcg,thread=multi,tb-size=64'],
      ...['-cpu', 'max', '-m', '128', '-nodefaults', '-no-user-config', '-display', 'none'],
      ...drive('vol0123456789abcdef0', disk, ''),
      ...drive('seed', seed, ',readonly=on'),
      ...['-netdev', 'user,id=net0,restrict=on', '-device', 'virtio-net-pci,netdev=net0,romfile='],
      ...['-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
      ...['-chardev', `socket,id=agent,path=${join(directory, 'agent.sock')},server=on,wait=off`],
      ...['-chardev', `file,id=console,path=${join(directory, 'console.log')}`, '-serial', 'chardev:console'],
    ];
    const qemu = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return new TinyGuest(directory, qemu);
  }

  /** What the guest wrote to its console so far. */
  async console(): Promise<string> {
    return await readFile(join(this.#directory, 'console.log'), 'latin1');
  }

  /** Resolves when the console has `text` for the `count`th time. */
  async says(text: string, count = 1): Promise<void> {
    const untilMs = systemClock.monotonicMs() + WAIT_MS_MAX;
    for (;;) {
      const console = await this.console();
      if (console.split(text).length > count) return;
      if (this.#process.exitCode !== null || systemClock.monotonicMs() > untilMs) {
        throw new Error(`the guest does not say "${text}":\n${console.slice(-4000)}\n${this.#errors}`);
      }
      await systemClock.sleep(POLL_MS);
    }
  }

  /** A connection to the guest's agent. */
  async agent(): Promise<Agent> {
    return await Agent.connect(join(this.#directory, 'agent.sock'));
  }

  /** Resolves when QEMU has ended by itself. */
  async ended(): Promise<void> {
    const untilMs = systemClock.monotonicMs() + WAIT_MS_MAX;
    while (this.#process.exitCode === null) {
      if (systemClock.monotonicMs() > untilMs) throw new Error('the guest does not go off');
      await systemClock.sleep(POLL_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await this.#exited;
  }
}

/** The QEMU guest agent's protocol: a line of JSON each way. */
export class Agent implements Disposable {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async connect(path: string): Promise<Agent> {
    const socket = createConnection(path);
    await once(socket, 'connect');
    return new Agent(socket);
  }

  /** Sends a command and answers what it returns. */
  async call(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    this.send(command, args);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the agent is gone instead of answering ${command}`);
    const reply: unknown = JSON.parse(value);
    if (typeof reply !== 'object' || reply === null || !('return' in reply)) {
      throw new Error(`the agent answered ${command} with ${value}`);
    }
    return reply.return;
  }

  /** Sends a command that has no answer. */
  send(command: string, args: Readonly<Record<string, unknown>> = {}): void {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import type { InstanceId } from '#domain/ids.ts';
import type { Hypervisor } from '#machine/hypervisor.ts';
import { QemuHypervisor } from '#machine/qemu-hypervisor.ts';

import { waitFor } from './served-disks.ts';

/** A hypervisor over what is in `scratch`: the machines that another one left there are its own. */
export async function openHypervisor(scratch: string): Promise<QemuHypervisor> {
  const socketDirectory = join(scratch, 'run');
  mkdirSync(socketDirectory, { recursive: true });
  process.prependOnceListener('exit', () => killMachines(scratch)); // Before the directory goes.
  return await QemuHypervisor.open({
    machinesDirectory: join(scratch, 'machines'),
    socketDirectory,
    network: { mode: 'user', outbound: false },
    accelerator: 'tcg',
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
}

/** Ends what a failed test left. */
export async function endMachines(hypervisor: Hypervisor): Promise<void> {
  for (const { id } of await hypervisor.list()) await hypervisor.stop(id, { graceMs: 0 });
  await hypervisor[Symbol.asyncDispose]();
}

/** Machines outlive whoever started them, also a test that failed. */
function killMachines(scratch: string): void {
  for (const name of readdirSync(join(scratch, 'machines'))) {
    const path = join(scratch, 'machines', name, 'qemu.pid');
    try {
      const processId = Number(readFileSync(path, 'utf8'));
      if (readFileSync(`/proc/${processId}/cmdline`, 'utf8').includes(path)) process.kill(processId, 'SIGKILL');
    } catch {
      // It does not run.
    }
  }
}

/** The shell on the serial console of a guest. */
export class ConsoleShell implements Disposable {
  readonly #hypervisor: Hypervisor;
  readonly #id: InstanceId;
  readonly #socket: ReturnType<typeof connect>;

  constructor(hypervisor: Hypervisor, id: InstanceId, scratch: string) {
    this.#hypervisor = hypervisor;
    this.#id = id;
    this.#socket = connect(join(scratch, 'run', `${id}.tty`));
    this.#socket.on('error', () => {}); // The guest is gone: what it should say is waited for in vain.
    this.#socket.resume();
  }

  /** Runs a line; what it printed, when it is through. */
  async run(line: string): Promise<string> {
    const mark = await this.begin(line);
    return await this.end(mark);
  }

  /** Types a line, and no more. */
  async begin(line: string): Promise<string> {
    const mark = `through-${(lineCount += 1)}-${process.pid}`;
    // The mark is typed in two halves, so that its echo is not taken for it.
    this.#socket.write(`${line}; echo "thr""${mark.slice(3)}"\n`);
    return mark;
  }

  async end(mark: string): Promise<string> {
    await waitFor(mark, async () => (await this.#said()).includes(`${mark}\r\n`));
    const before = (await this.#said()).split(`${mark}\r\n`)[0] ?? '';
    const echo = `echo "thr""${mark.slice(3)}"\r\n`;
    return before.slice(before.lastIndexOf(echo) + echo.length).replaceAll('\r', '');
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #said(): Promise<string> {
    return (await this.#hypervisor.console(this.#id, 1024 * 1024)).toString('latin1');
  }
}

/** In the life of this process: the console's log has the marks of earlier shells, too. */
let lineCount = 0;

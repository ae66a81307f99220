import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';

import { waitFor } from './served-disks.ts';

/** The serial console of a guest, by what QEMU has of it: a log that grows, and a socket to type into. */
export class GuestConsole implements Disposable {
  readonly #logPath: string;
  readonly #socketPath: string;
  #socket: Socket | null = null;
  #commandCount = 0;

  constructor(paths: { readonly logPath: string; readonly socketPath: string }) {
    this.#logPath = paths.logPath;
    this.#socketPath = paths.socketPath;
  }

  /** All that it said, from a byte of the log on. */
  async said(fromByte = 0): Promise<string> {
    const file = await open(this.#logPath).catch(() => null);
    if (file === null) return ''; // Its process has not been started yet.
    await using log = file;
    const { size } = await log.stat();
    const { buffer, bytesRead } = await log.read(Buffer.alloc(Math.max(0, size - fromByte)), 0, null, fromByte);
    return buffer.subarray(0, bytesRead).toString('latin1');
  }

  async saidBytes(): Promise<number> {
    return Buffer.byteLength(await this.said(), 'latin1');
  }

  /** Resolves when it has said `text` after a byte of the log; throws with its last words. */
  async says(text: string, fromByte = 0): Promise<void> {
    try {
      await waitFor(text, async () => (await this.said(fromByte)).includes(text));
    } catch (error) {
      throw new Error(`its console: ${(await this.said()).slice(-2000)}`, { cause: error });
    }
  }

  /** Runs a line in its shell; what that printed. Throws when it failed. */
  async run(line: string): Promise<string> {
    return await (
      await this.begin(line)
    )();
  }

  /** Types a line, and no more; what is answered waits for its end. */
  async begin(line: string): Promise<() => Promise<string>> {
    const fromByte = await this.saidBytes();
    const mark = `${(this.#commandCount += 1)}-${process.pid}`;
    if (this.#socket === null) {
      this.#socket = connect(this.#socketPath);
      this.#socket.on('error', () => {}); // The guest is gone: what it should say is waited for in vain.
      this.#socket.resume();
    }
    // Marks are typed in two halves: their echo, which the shell also wraps, is not taken for them.
    this.#socket.write(`echo "beg""in-${mark}"; ${line}; echo "en""d-${mark} $?"\n`);
    return async () => {
      await this.says(`end-${mark} `, fromByte);
      await waitFor('a whole line', async () =>
        /end-\S+ \d+\s/.test((await this.said(fromByte)).split(`begin-${mark}`)[1] ?? ''),
      );
      const [, text = ''] = (await this.said(fromByte)).split(`begin-${mark}\r\n`);
      const [output = '', end = ''] = text.split(`end-${mark} `);
      const code = Number.parseInt(end, 10);
      if (code !== 0) throw new Error(`in the guest, ${line}: exit ${code}: ${output}`);
      return output.replaceAll('\r', '');
    };
  }

  [Symbol.dispose](): void {
    this.#socket?.destroy();
    this.#socket = null;
  }
}

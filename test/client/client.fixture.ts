import { Writable } from 'node:stream';
import { runClient } from '#client/main.ts';
import type { RunResult } from '../run.ts';

class Collected extends Writable {
  readonly #pieces: Buffer[] = [];

  get text(): string {
    return Buffer.concat(this.#pieces).toString();
  }

  override _write(piece: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#pieces.push(piece);
    done();
  }
}

/** Runs `varve SERVICE OPERATION …` in this process, with an environment of its own. */
export async function runOurs(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<RunResult> {
  const [stdout, stderr] = [new Collected(), new Collected()];
  const home = environment['HOME'] ?? '/nonexistent';
  const code = await runClient(words, { environment, home, stdout, stderr, localServer: async () => null });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

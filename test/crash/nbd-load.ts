import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { assert, present } from '#base/assert.ts';

/** Debian's libnbd bindings belong to Debian's Python, whatever else is on the path. */
export const PYTHON = process.env['VARVE_TEST_PYTHON'] ?? '/usr/bin/python3';
export const SECTOR_BYTES = 512;

/** What a read found: the version of each sector; 0 zeros, −1 nothing that was ever stamped there. */
export type Versions = Float64Array;

interface Answer {
  readonly errno: number;
  readonly runs: readonly number[];
}

/** libnbd connections in one Python process, with any number of requests in flight. An errno of 0 is an acknowledgement. */
export class NbdLoad implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #exited: Promise<void>;
  #nextId = 1;
  #errors = '';
  #failure: Error | null = null;

  constructor() {
    this.#child = spawn(PYTHON, [join(import.meta.dirname, 'nbd-load.py')]);
    this.#child.stdin.on('error', () => {}); // Its exit says why.
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(line));
    this.#exited = new Promise((resolve) => {
      this.#child.on('close', () => {
        this.#failure = new Error(`the NBD client ended: ${this.#errors}`);
        for (const settle of this.#waiting.values()) settle({ errno: -1, runs: [] });
        resolve();
      });
    });
  }

  async open(name: string, uri: string): Promise<number> {
    return (await this.#ask('open', name, uri)).errno;
  }

  async close(name: string): Promise<void> {
    await this.#ask('close', name);
  }

  async write(name: string, offset: number, length: number, version: number, fua: boolean): Promise<number> {
    return (await this.#ask('w', name, offset, length, version, fua ? 1 : 0)).errno;
  }

  async zero(name: string, offset: number, length: number, fua: boolean, hole: boolean): Promise<number> {
    return (await this.#ask('z', name, offset, length, fua ? 1 : 0, hole ? 1 : 0)).errno;
  }

  async trim(name: string, offset: number, length: number, fua: boolean): Promise<number> {
    return (await this.#ask('t', name, offset, length, fua ? 1 : 0)).errno;
  }

  async flush(name: string): Promise<number> {
    return (await this.#ask('f', name)).errno;
  }

  /** The versions of the sectors, or the errno. */
  async read(name: string, offset: number, length: number): Promise<Versions | number> {
    const { errno, runs } = await this.#ask('r', name, offset, length);
    if (errno !== 0) return errno;
    const found = new Float64Array(length / SECTOR_BYTES);
    let at = 0;
    for (let index = 0; index < runs.length; index += 2) {
      const end = at + present(runs[index], 'a run has a length');
      found.fill(present(runs[index + 1], 'a run has a version'), at, end);
      at = end;
    }
    assert(at === found.length, 'a read answers every sector');
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  async #ask(op: string, ...words: readonly (string | number)[]): Promise<Answer> {
    if (this.#failure !== null) throw this.#failure;
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.stdin.write(`${JSON.stringify([op, id, ...words])}\n`);
    });
    if (this.#failure !== null) throw this.#failure;
    return answer;
  }

  #take(line: string): void {
    const [id, errno, runs] = JSON.parse(line) as [number, number, number[] | undefined];
    const settle = present(this.#waiting.get(id), 'an answer is to a question');
    this.#waiting.delete(id);
    settle({ errno, runs: runs ?? [] });
  }
}

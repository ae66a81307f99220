import { Writable } from 'node:stream';
import type { Document, Surroundings } from '#client/command.ts';
import { writeJson } from './json.ts';
import { OutputStream } from './output-stream.ts';

/** Collects what is printed. `columns`: of a terminal; null: it is none. */
export class Printed extends Writable {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly #pieces: string[] = [];

  constructor(columns: number | null = null) {
    super({ decodeStrings: false });
    this.isTTY = columns !== null;
    this.columns = columns ?? 80;
  }

  get text(): string {
    return this.#pieces.join('');
  }

  get pieceCount(): number {
    return this.#pieces.length;
  }

  override _write(piece: string, _encoding: BufferEncoding, done: () => void): void {
    this.#pieces.push(piece);
    done();
  }

  get surroundings(): Surroundings {
    return { environment: {}, home: '/nowhere', stdout: this, stderr: this, localServer: async () => null };
  }
}

/** A document as `--output json` prints it. */
export async function jsonOf(document: Document): Promise<string> {
  const printed = new Printed();
  const output = new OutputStream(printed);
  await writeJson(document, output);
  await output.end();
  return printed.text;
}

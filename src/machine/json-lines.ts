import { connect, type Socket } from 'node:net';

/** A guest writes what it likes: a line that grows beyond this ends the connection. */
const LINE_BYTES_MAX = 1024 * 1024;

const LINE_FEED = 0x0a;
/** What the guest agent's protocol sets before an answer to say that nothing before it belongs to it; in no UTF-8 text. */
const DELIMITER = 0xff;

export interface JsonLinesHandler {
  /** A line that is a JSON object. `delimited`: 0xFF stood before it. Other lines are dropped. */
  readonly onObject: (object: Readonly<Record<string, unknown>>, delimited: boolean) => void;
  readonly onClose: () => void;
}

/** A connection over which JSON objects go in both directions, each on a line: QEMU's monitor, and its guest agent's. */
export class JsonLines implements Disposable {
  readonly #socket: Socket;
  readonly #handler: JsonLinesHandler;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #delimited = false;
  #isOpen = true;
  #leftBytes = Number.POSITIVE_INFINITY;

  private constructor(socket: Socket, handler: JsonLinesHandler) {
    this.#socket = socket;
    this.#handler = handler;
    socket.on('data', (bytes) => this.#receive(bytes));
    socket.on('error', () => {}); // `close` follows.
    socket.on('close', () => {
      this.#isOpen = false;
      handler.onClose();
    });
  }

  static async connect(socketPath: string, handler: JsonLinesHandler): Promise<JsonLines> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new JsonLines(socket, handler);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  send(object: Readonly<Record<string, unknown>>, options: { readonly delimited?: boolean } = {}): void {
    if (options.delimited === true) this.#socket.write(Buffer.of(DELIMITER));
    this.#socket.write(`${JSON.stringify(object)}\n`);
  }

  /** Reads nothing until `resume`: who writes waits. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads on; more than `bytesMax` end the connection. */
  resume(bytesMax: number): void {
    this.#leftBytes = bytesMax;
    this.#socket.resume();
  }

  [Symbol.dispose](): void {
    this.#isOpen = false;
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    this.#leftBytes -= bytes.length;
    if (this.#leftBytes < 0) {
      this[Symbol.dispose]();
      return;
    }
    let from = 0;
    for (let at = 0; at < bytes.length; at += 1) {
      if (bytes[at] === LINE_FEED) {
        this.#keep(bytes.subarray(from, at));
        this.#line();
        from = at + 1;
      } else if (bytes[at] === DELIMITER) {
        this.#pieces = [];
        this.#pieceBytes = 0;
        this.#delimited = true;
        from = at + 1;
      }
    }
    this.#keep(bytes.subarray(from));
  }

  #keep(bytes: Buffer): void {
    this.#pieceBytes += bytes.length;
    if (this.#pieceBytes > LINE_BYTES_MAX) this[Symbol.dispose]();
    else if (bytes.length > 0) this.#pieces.push(Buffer.from(bytes));
  }

  #line(): void {
    const text = Buffer.concat(this.#pieces).toString('utf8');
    const delimited = this.#delimited;
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#delimited = false;
    const object = parseObject(text);
    if (object !== null && this.#isOpen) this.#handler.onObject(object, delimited);
  }
}

/** The value as an object's members; null: it is something else. */
export function members(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : null;
}

export function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    return members(JSON.parse(text));
  } catch {
    return null;
  }
}

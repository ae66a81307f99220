import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';

import { COMMAND, INFO, OPTION, OPTION_REPLY, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC } from '#wire/nbd/constants.ts';

/** The plainest client of NBD: newstyle, simple replies, one request at a time. Errors of the server are thrown as `errno <n>`. */
export class PlainNbdClient implements Disposable {
  readonly sizeBytes: number;
  readonly #socket: Socket;
  readonly #input: AsyncIterator<Buffer>;
  #held = Buffer.alloc(0);

  private constructor(socket: Socket, input: AsyncIterator<Buffer>, held: Buffer<ArrayBuffer>, sizeBytes: number) {
    this.#socket = socket;
    this.#input = input;
    this.#held = held;
    this.sizeBytes = sizeBytes;
  }

  static async connect(
    address: { readonly path: string } | { readonly host: string; readonly port: number },
    exportName = '',
  ): Promise<PlainNbdClient> {
    const socket = createConnection(address);
    await once(socket, 'connect');
    const input = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    const early = new PlainNbdClient(socket, input, Buffer.alloc(0), 0);
    await early.#take(18);
    const name = Buffer.from(exportName);
    const data = Buffer.alloc(4 + name.length + 2);
    data.writeUInt32BE(name.length, 0);
    name.copy(data, 4);
    const option = Buffer.alloc(4 + 16);
    option.writeUInt32BE(3, 0); // Fixed newstyle, no zeroes.
    option.write('IHAVEOPT', 4, 'latin1');
    option.writeUInt32BE(OPTION.go, 12);
    option.writeUInt32BE(data.length, 16);
    socket.write(Buffer.concat([option, data]));
    let sizeBytes = 0;
    for (;;) {
      const reply = await early.#take(20);
      const body = await early.#take(reply.readUInt32BE(16));
      const type = reply.readUInt32BE(12);
      if (type === OPTION_REPLY.ack) return new PlainNbdClient(socket, input, early.#held, sizeBytes);
      if (type !== OPTION_REPLY.info) throw new Error(`refused: ${type.toString(16)}`);
      if (body.readUInt16BE(0) === INFO.export) sizeBytes = Number(body.readBigUInt64BE(2));
    }
  }

  async read(offset: number, length: number): Promise<Buffer> {
    await this.#request(COMMAND.read, offset, length);
    return await this.#take(length);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#request(COMMAND.write, offset, bytes.length, bytes);
  }

  async flush(): Promise<void> {
    await this.#request(COMMAND.flush, 0, 0);
  }

  /** Disconnects and waits until the server has gone too. */
  async close(): Promise<void> {
    this.#socket.write(requestBytes(COMMAND.disconnect, 0, 0));
    await this.#input.next().catch(() => {});
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #request(command: number, offset: number, length: number, bytes?: Uint8Array): Promise<void> {
    this.#socket.write(requestBytes(command, offset, length));
    if (bytes !== undefined) this.#socket.write(bytes);
    const reply = await this.#take(16);
    if (reply.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) throw new Error('not a simple reply');
    const errno = reply.readUInt32BE(4);
    if (errno !== 0) throw new Error(`errno ${errno}`);
  }

  async #take(length: number): Promise<Buffer> {
    while (this.#held.length < length) {
      const next = await this.#input.next();
      if (next.done === true) throw new Error('the server closed the connection');
      this.#held = Buffer.concat([this.#held, next.value]);
    }
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }
}

function requestBytes(command: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

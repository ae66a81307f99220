import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import { COMMAND, INFO, OPTION, OPTION_REPLY, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC } from '#wire/nbd/constants.ts';

type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** Fixed newstyle, no zeroes. */
const CLIENT_FLAGS = Buffer.from([0, 0, 0, 3]);

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

  static async connect(address: Address, exportName = ''): Promise<PlainNbdClient> {
    const socket = createConnection(address);
    await once(socket, 'connect');
    const client = PlainNbdClient.#on(socket);
    await client.#take(18);
    socket.write(CLIENT_FLAGS);
    return await client.#open(exportName);
  }

  /** The same under TLS, with a pre-shared key. */
  static async connectSecurely(
    address: Address,
    psk: { readonly identity: string; readonly key: Uint8Array },
    exportName = '',
  ): Promise<PlainNbdClient> {
    return await PlainNbdClient.#on(await connectSecurely(address, psk)).#open(exportName);
  }

  static #on(socket: Socket): PlainNbdClient {
    const input = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    return new PlainNbdClient(socket, input, Buffer.alloc(0), 0);
  }

  async #open(exportName: string): Promise<PlainNbdClient> {
    const name = Buffer.from(exportName);
    const data = Buffer.alloc(4 + name.length + 2);
    data.writeUInt32BE(name.length, 0);
    name.copy(data, 4);
    this.#socket.write(optionBytes(OPTION.go, data));
    let sizeBytes = 0;
    for (;;) {
      const reply = await this.#take(20);
      const body = await this.#take(reply.readUInt32BE(16));
      const type = reply.readUInt32BE(12);
      if (type === OPTION_REPLY.ack) return new PlainNbdClient(this.#socket, this.#input, this.#held, sizeBytes);
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

/** A connection that shook hands up to where options are sent under TLS. */
export async function connectSecurely(
  address: Address,
  psk: { readonly identity: string; readonly key: Uint8Array },
): Promise<TLSSocket> {
  const socket = createConnection(address);
  await once(socket, 'connect');
  await takeOnce(socket, 18);
  socket.write(Buffer.concat([CLIENT_FLAGS, optionBytes(OPTION.startTls, Buffer.alloc(0))]));
  const reply = (await takeOnce(socket, 20)).readUInt32BE(12);
  if (reply !== OPTION_REPLY.ack) throw new Error(`refused: ${reply.toString(16)}`);
  const secure = connectTls({
    socket,
    pskCallback: () => ({ psk: psk.key, identity: psk.identity }),
    ciphers: 'TLS_AES_128_GCM_SHA256',
    checkServerIdentity: () => undefined,
  });
  await once(secure, 'secureConnect');
  return secure;
}

/** Bytes that come before anything else is read from the socket, and behind which nothing comes unasked. */
async function takeOnce(socket: Socket, count: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const enough = Promise.withResolvers<void>();
  const take = (piece: Buffer): void => {
    pieces.push(piece);
    if (Buffer.concat(pieces).length >= count) enough.resolve();
  };
  socket.on('data', take);
  socket.once('close', enough.resolve);
  await enough.promise;
  socket.removeListener('data', take);
  const bytes = Buffer.concat(pieces);
  if (bytes.length !== count) throw new Error('the server said something else');
  return bytes;
}

function optionBytes(number: number, data: Uint8Array): Buffer {
  const header = Buffer.alloc(16);
  header.write('IHAVEOPT', 'latin1');
  header.writeUInt32BE(number, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

function requestBytes(command: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

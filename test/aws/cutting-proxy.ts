import { createServer, connect, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * A proxy before a server that, once told to, lets a request through, waits until the server has answered it whole, and then
 * closes the connection without a byte of the answer: the client cannot know that the server has acted.
 */
export class CuttingProxy implements AsyncDisposable {
  readonly #server: Server;
  #target: URL;
  #cutsLeft = 0;
  #cutCount = 0;
  #onCut: (() => Promise<void>) | null = null;
  /** While the server behind is replaced, connections wait. */
  #ready: Promise<void> = Promise.resolve();
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.#target = target;
  }

  static async start(endpoint: string): Promise<CuttingProxy> {
    const server = createServer();
    const proxy = new CuttingProxy(server, new URL(endpoint));
    server.on('connection', (client) => void proxy.#serve(client));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many answers were swallowed. */
  get cutCount(): number {
    return this.#cutCount;
  }

  set target(endpoint: string) {
    this.#target = new URL(endpoint);
  }

  /** The next `count` answers are swallowed; `meanwhile` runs after each, before anybody is let through again. */
  cut(count: number, meanwhile: (() => Promise<void>) | null = null): void {
    this.#cutsLeft = count;
    this.#onCut = meanwhile;
  }

  async #serve(client: Socket): Promise<void> {
    this.#sockets.add(client);
    client.on('close', () => this.#sockets.delete(client)).on('error', () => {});
    client.pause();
    await this.#ready;
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    upstream.on('error', () => client.destroy()).on('close', () => client.end());
    client.on('close', () => upstream.destroy());
    client.pipe(upstream);
    let answer = Buffer.alloc(0);
    upstream.on('data', (piece: Buffer) => {
      if (this.#cutsLeft === 0) {
        client.write(piece);
        return;
      }
      answer = Buffer.concat([answer, piece]);
      if (!isWhole(answer)) return;
      this.#cutsLeft -= 1;
      this.#cutCount += 1;
      this.#ready = this.#onCut?.() ?? Promise.resolve();
      client.destroy();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Whether an HTTP reply with a Content-Length is there to its last byte. */
function isWhole(bytes: Buffer): boolean {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return false;
  const length = Number(/content-length: (\d+)/i.exec(bytes.subarray(0, end).toString('latin1'))?.[1] ?? 0);
  return bytes.length >= end + 4 + length;
}

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

import { members, parseObject } from './json-lines.ts';

export type FakeRequest = Readonly<Record<string, unknown>>;

/** One end of a channel of JSON lines, as a test wants it: `onRequest` answers, or does not. */
export class JsonLinesServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly requests: FakeRequest[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(
    path: string,
    options: {
      readonly greeting?: string;
      readonly onRequest: (request: FakeRequest, send: (bytes: string | Uint8Array) => void) => void;
    },
  ): Promise<JsonLinesServer> {
    const server = createServer();
    const fake = new JsonLinesServer(server);
    server.on('connection', (socket) => {
      fake.#sockets.add(socket);
      socket.on('error', () => {}); // The other end goes away as it likes.
      if (options.greeting !== undefined) socket.write(`${options.greeting}\n`);
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString('latin1').replaceAll('\xff', '');
        for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
          const request = parseObject(text.slice(0, end));
          text = text.slice(end + 1);
          if (request === null) continue;
          fake.requests.push(request);
          options.onRequest(request, (answer) => socket.write(answer));
        }
      });
    });
    server.listen(path);
    await once(server, 'listening');
    return fake;
  }

  /** To everybody who is connected. */
  send(bytes: string | Uint8Array): void {
    for (const socket of this.#sockets) socket.write(bytes);
  }

  /** Bytes that nobody has read, beyond what the kernel keeps for them. */
  get unreadBytes(): number {
    return [...this.#sockets].reduce((sum, { writableLength }) => sum + writableLength, 0);
  }

  /** Cuts everybody off. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await once(this.#server.close(), 'close');
  }
}

/** The answer of a guest agent to `guest-sync-delimited`. */
export function syncAnswer(request: FakeRequest): Uint8Array {
  const number = members(request['arguments'])?.['id'];
  return Buffer.concat([Buffer.of(0xff), Buffer.from(`${JSON.stringify({ return: number })}\n`)]);
}

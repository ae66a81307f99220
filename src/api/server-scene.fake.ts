import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { present } from '#base/assert.ts';
import type { Log } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import type { ControlPorts } from '#control/ports.ts';
import { parseAccountId } from '#domain/ids.ts';
import { defineFace, type Face, type Handlers } from './handler.ts';
import { onlyRoot } from './access/root-access.fake.ts';
import { API_LIMITS, type ApiLimits } from './limits.ts';
import { type ApiServer, createApiServer } from './server.ts';
import { type ClientRequest, SigningClient } from './signing-client.fake.ts';

export const KEY = { accessKeyId: 'AKIAAAAAAAAAAAAAAAAA', secretAccessKey: 'secret+/secret' };
export const ACCOUNT = present(parseAccountId('012345678901'), 'an account id');

/** A call that asks for nothing, as SDKs send it. */
export const JSON_HEADERS = {
  'content-type': 'application/x-amz-json-1.1',
  'x-amz-target': 'Lightsail_20161128.GetRegions',
};
export const CALL = { service: 'lightsail', body: '{}', headers: JSON_HEADERS };

interface Line {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A server with faces of the test's own, on a clock that only the test moves. */
export class Scene implements AsyncDisposable {
  readonly clock = new VirtualClock(Date.UTC(2026, 0, 1));
  readonly lines: Line[] = [];
  readonly broken: unknown[] = [];
  readonly server: ApiServer;
  #port = 0;

  constructor(
    handlers: Handlers<'lightsail'>,
    options: { readonly limits?: Partial<ApiLimits>; readonly faces?: readonly Face[] } = {},
  ) {
    const face = defineFace({
      service: 'lightsail',
      repeatable: ['Get'],
      mapFailure: (failure) => ({ code: 'NotFoundException', message: `refused: ${failure.kind}`, status: 404 }),
      handlers,
    });
    this.server = createApiServer({
      ports: fakePorts(this),
      faces: [face, ...(options.faces ?? [])],
      limits: { ...API_LIMITS, ...options.limits },
      findCaller: onlyRoot({ ...KEY, account: ACCOUNT }),
      onBroken: (error) => this.broken.push(error),
    });
  }

  static async open(...options: ConstructorParameters<typeof Scene>): Promise<Scene> {
    const scene = new Scene(...options);
    scene.#port = (await scene.server.listen(0, '127.0.0.1')).port;
    return scene;
  }

  get port(): number {
    return this.#port;
  }

  get client(): SigningClient {
    return new SigningClient(this.#port, KEY);
  }

  errors(): readonly Line[] {
    return this.lines.filter(({ level }) => level === 'error');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closing = this.server.close(1000);
    await until(() => this.server.counts.requestsOpen === 0 && this.server.counts.callsRunning === 0);
    await closing;
    assert.equal(this.server.counts.bodyBytes, 0, 'no request leaves its body behind');
  }
}

function fakePorts(scene: Scene): ControlPorts {
  const record =
    (level: string) =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      scene.lines.push({ level, event, fields });
    };
  const log: Log = { info: record('info'), warn: record('warn'), error: record('error'), with: () => log };
  const parts: Pick<ControlPorts, 'clock' | 'random' | 'log'> = {
    clock: scene.clock,
    random: new SeededRandom(1),
    log,
  };
  return parts as ControlPorts;
}

export async function until(fact: () => boolean): Promise<void> {
  while (!fact()) await new Promise((resolve) => setImmediate(resolve));
}

/** A connection that sends what it is told. */
export async function dial(port: number): Promise<{ readonly socket: Socket; readonly closed: Promise<string> }> {
  const pieces: Buffer[] = [];
  const closed = Promise.withResolvers<string>();
  const open = Promise.withResolvers<void>();
  const socket = connect(port, '127.0.0.1', open.resolve);
  socket.on('data', (piece) => pieces.push(piece));
  socket.on('error', () => {}); // 'close' follows.
  socket.on('close', () => closed.resolve(Buffer.concat(pieces).toString('latin1')));
  await open.promise;
  return { socket, closed: closed.promise };
}

export const quiet: Handlers<'lightsail'> = { GetRegions: async () => ({ regions: [] }) };

/** A call with so many bytes of spaces. */
export function large(length: number): ClientRequest {
  return { ...CALL, body: Buffer.alloc(length, 0x20) };
}

/** As they stand on the connection. */
export function lines(headers: Readonly<Record<string, string>>): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\r\n');
}

import assert from 'node:assert/strict';
import { createAccount } from '#control/access.ts';
import type { Limits } from '#control/limits.ts';
import { World } from '#control/world.fake.ts';
import { type ApiServer, createApiServer } from '#api/server.ts';
import { type ClientKey, SigningClient } from '#api/signing-client.fake.ts';
import { stsFace } from '#api/sts/face.ts';
import { lightsailFace } from './face.ts';

/** JSON as a client sees it. */
export type Json = Readonly<Record<string, unknown>>;

export interface Called {
  readonly status: number;
  readonly body: Json;
}

export interface CallOptions {
  readonly region?: string;
  readonly invocationId?: string;
  readonly key?: ClientKey;
}

/** Lightsail over HTTP on a whole control plane, whose host keeps its bytes in memory. */
export class Scene implements AsyncDisposable {
  readonly world: World;
  readonly key: ClientKey & { readonly account: string };
  #server: ApiServer;
  #port: number;

  private constructor(world: World, key: ClientKey & { readonly account: string }, server: ApiServer, port: number) {
    this.world = world;
    this.key = key;
    this.#server = server;
    this.#port = port;
  }

  static async open(some: Partial<Limits> = {}): Promise<Scene> {
    const world = await World.make(some);
    const key = await createAccount(world.ports, {});
    const { server, port } = await serve(world);
    return new Scene(world, key, server, port);
  }

  get port(): number {
    return this.#port;
  }

  /** The control process is killed and starts again: what was only in memory is gone. */
  async restart(): Promise<void> {
    await this.#server.close(0);
    await this.world.restartControl();
    const { server, port } = await serve(this.world);
    this.#server = server;
    this.#port = port;
  }

  async newKey(): Promise<ClientKey & { readonly account: string }> {
    return await createAccount(this.world.ports, {});
  }

  async call(operation: string, input: Json = {}, options: CallOptions = {}): Promise<Called> {
    const { region, invocationId } = options;
    const reply = await this.client(options.key).json(operation, input, {
      ...(region === undefined ? {} : { region }),
      ...(invocationId === undefined ? {} : { headers: { 'amz-sdk-invocation-id': invocationId } }),
    });
    return { status: reply.status, body: reply.json as Json };
  }

  /** A call that succeeds. */
  async ok(operation: string, input: Json = {}, options: CallOptions = {}): Promise<Json> {
    const { status, body } = await this.call(operation, input, options);
    assert.equal(status, 200, `${operation}: ${JSON.stringify(body)}`);
    return body;
  }

  /** A call that is refused, and as what. Every exception has its four members. */
  async refused(operation: string, input: Json = {}, options: CallOptions = {}): Promise<string> {
    const { status, body } = await this.call(operation, input, options);
    assert.ok(status >= 400 && status < 500, `${operation}: ${status} ${JSON.stringify(body)}`);
    for (const member of ['message', 'code', 'docs', 'tip']) assert.equal(typeof body[member], 'string', member);
    return String(body['__type']);
  }

  client(key: ClientKey = this.key): SigningClient {
    return new SigningClient(this.#port, key, () => this.world.clock.nowMs());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close(0);
    await this.world[Symbol.asyncDispose]();
  }
}

async function serve(world: World): Promise<{ readonly server: ApiServer; readonly port: number }> {
  const server = createApiServer({
    ports: world.ports,
    faces: [lightsailFace, stsFace],
    onBroken: (error) => {
      throw error;
    },
  });
  const { port } = await server.listen(0, '127.0.0.1');
  return { server, port };
}

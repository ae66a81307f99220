import assert from 'node:assert/strict';
import { AwsRefusal } from '#api/aws-error.ts';
import { ebsFace } from '#api/ebs/face.ts';
import type { CallContext, Face } from '#api/handler.ts';
import { rbinFace } from '#api/rbin/face.ts';
import { rootAccess } from '#api/access/root-access.fake.ts';
import { present } from '#base/assert.ts';
import type { VirtualClock } from '#base/virtual-clock.ts';
import type { Limits } from '#control/limits.ts';
import type { ControlPorts } from '#control/ports.ts';
import { World } from '#control/world.fake.ts';
import { DomainError } from '#domain/errors.ts';
import { parseAccountId, regionName } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import type { InputOf, OperationName, OutputOf, ServiceName } from '#wire/aws/operations.ts';
import { ec2Face } from './face.ts';

export interface CallOptions {
  readonly account?: string;
  readonly region?: string;
  readonly invocationId?: string;
}

/** An account beside the one that calls unless told otherwise. */
const OTHER: CallOptions = { account: '210987654321' };

/** The EC2, EBS and Recycle Bin faces over the real use cases and metadata, with a host that keeps its bytes in memory. */
export class Scene implements AsyncDisposable {
  readonly world: World;

  private constructor(world: World) {
    this.world = world;
  }

  static async open(some: Partial<Limits> = {}): Promise<Scene> {
    const world = await World.make(some);
    // Key policies name only accounts that are there.
    await world.ports.meta.transact(async (tx) => {
      for (const options of [{}, OTHER]) {
        await tx.accounts.insert({ id: scopeOf(options).account, alias: null, createdAtMs: 0 });
      }
    });
    return new Scene(world);
  }

  get clock(): VirtualClock {
    return this.world.clock;
  }

  get ports(): ControlPorts {
    return this.world.ports;
  }

  async ec2<O extends OperationName<'ec2'>>(
    operation: O,
    input: InputOf<'ec2', O>,
    options: CallOptions = {},
  ): Promise<OutputOf<'ec2', O>> {
    return await this.#call<'ec2', O>(ec2Face, operation, input, options);
  }

  async ebs<O extends OperationName<'ebs'>>(
    operation: O,
    input: InputOf<'ebs', O>,
    options: CallOptions = {},
  ): Promise<OutputOf<'ebs', O>> {
    return await this.#call<'ebs', O>(ebsFace, operation, input, options);
  }

  async rbin<O extends OperationName<'rbin'>>(
    operation: O,
    input: InputOf<'rbin', O>,
    options: CallOptions = {},
  ): Promise<OutputOf<'rbin', O>> {
    return await this.#call<'rbin', O>(rbinFace, operation, input, options);
  }

  /** Pending snapshots become completed ones; time passes. */
  async upload(): Promise<void> {
    await this.world.settle();
  }

  async #call<S extends ServiceName, O extends OperationName<S>>(
    face: Face,
    operation: O,
    input: InputOf<S, O>,
    options: CallOptions,
  ): Promise<OutputOf<S, O>> {
    const handler = present(face.handlers.get(operation), `the face has ${operation}`);
    const context: CallContext = {
      ports: this.ports,
      scope: scopeOf(options),
      ...rootAccess(scopeOf(options)),
      requestId: '00000000-0000-4000-8000-000000000000',
      operation,
      invocationId: options.invocationId ?? null,
      signal: new AbortController().signal,
    };
    try {
      // The handlers are typed by the same model; the table of a face has lost the types.
      return (await handler(context, input)) as OutputOf<S, O>;
    } catch (error) {
      throw error instanceof DomainError ? new AwsRefusal(face.mapFailure(error.failure, context)) : error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }
}

export function scopeOf(options: CallOptions): Scope {
  return {
    account: present(parseAccountId(options.account ?? '012345678910'), 'an account'),
    region: regionName(options.region ?? 'us-east-1'),
  };
}

/** What a call is refused with: `Code: message`; `not refused` when it is not. */
export async function refusalOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof AwsRefusal, error instanceof Error ? error.stack : String(error));
    return `${error.error.code}: ${error.error.message}`;
  }
  return 'not refused';
}

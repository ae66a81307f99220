import { createHmac, hkdfSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { assert } from '#base/assert.ts';
import { writeFileAtomic } from '#base/atomic-file.ts';
import type { Clock } from '#base/clock.ts';
import { KeyLock } from '#base/key-lock.ts';
import type { Random } from '#base/random.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';

import type { NbdGrant } from './host.ts';
import { count, type Decode, DecodeError, list, nbdGrant, record } from './host-decode.ts';

const VERSION = 1;
/** 64 bits: nobody has to be kept from guessing it, only two from being the same. */
const NUMBER_BYTES = 8;
/** Of one volume or snapshot. Who needs more has lost track of them. */
export const GRANTS_PER_EXPORT_MAX = 256;

/** Why a grant cannot be issued; for the operator. */
export class GrantRefusedError extends Error {
  override readonly name = 'GrantRefusedError';
}

const file: Decode<{ readonly version: number; readonly grants: readonly NbdGrant[] }> = record<{
  version: number;
  grants: readonly NbdGrant[];
}>({
  version: count,
  grants: list(nbdGrant),
});

/**
 * The grants of a data directory: which there are is in a file (docs/formats/nbd-grants.md), and so are no secrets. The key
 * of a grant is derived from the master key and the grant's id, so it can be told again to whoever may ask for it, and
 * checked by the volume host alone. A grant that is not in the file has no key.
 */
export class NbdGrants {
  readonly #path: string;
  readonly #key: Buffer;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #lock = new KeyLock();
  #grants: ReadonlyMap<string, NbdGrant>;
  /** Being revoked: they wait for their turn to change the file, and count as gone. */
  readonly #revoking = new Set<string>();

  private constructor(options: GrantOptions, grants: ReadonlyMap<string, NbdGrant>) {
    this.#path = options.path;
    this.#key = Buffer.from(hkdfSync('sha256', options.masterKey, 'varve', `varve ${VERSION} nbd grants`, 32));
    this.#clock = options.clock;
    this.#random = options.random;
    this.#grants = grants;
  }

  /** Reads the file, if it is there. Throws when it is damaged: to serve without it would be to forget what was revoked. */
  static async open(options: GrantOptions): Promise<NbdGrants> {
    return new NbdGrants(options, await readGrants(options.path));
  }

  /** Makes a grant; durable when it resolves. Throws GrantRefusedError. */
  async issue(id: VolumeId | SnapshotId, ttlMs: number | null): Promise<{ grant: NbdGrant; key: Buffer }> {
    return await this.#change((grants) => {
      const nowMs = this.#clock.nowMs();
      for (const grant of grants.values()) if (isOver(grant, nowMs)) grants.delete(grant.id);
      const own = [...grants.values()].filter((grant) => grant.exportId === id);
      if (own.length >= GRANTS_PER_EXPORT_MAX) {
        throw new GrantRefusedError(`${id} has ${own.length} credentials: revoke some first`);
      }
      const expiresAtMs = ttlMs === null ? null : nowMs + ttlMs;
      const number = this.#random.bytes(NUMBER_BYTES).toString('hex');
      const grant: NbdGrant = { id: `${id}.${number}`, exportId: id, issuedAtMs: nowMs, expiresAtMs };
      assert(!grants.has(grant.id), 'a grant has an id of its own');
      grants.set(grant.id, grant);
      return { grant, key: this.#keyOf(grant) };
    });
  }

  /** Those of one export, or all; those that are over are left out. */
  list(id: VolumeId | SnapshotId | null): readonly NbdGrant[] {
    const nowMs = this.#clock.nowMs();
    return [...this.#grants.values()].filter(
      (grant) => (id === null || grant.exportId === id) && !isOver(grant, nowMs),
    );
  }

  /** From its start on nobody gets in by it any more; durable when it resolves. False when there was none. */
  async revoke(grantId: string): Promise<boolean> {
    this.#revoking.add(grantId);
    try {
      return await this.#change((grants) => grants.delete(grantId));
    } finally {
      this.#revoking.delete(grantId);
    }
  }

  /** The export is gone for good; its grants with it. */
  async forget(id: VolumeId | SnapshotId): Promise<void> {
    await this.#change((grants) => {
      for (const grant of grants.values()) if (grant.exportId === id) grants.delete(grant.id);
    });
  }

  /** The grant that an identity names, if it may be used now. */
  find(identity: string): NbdGrant | null {
    const grant = this.#grants.get(identity);
    if (grant === undefined || this.#revoking.has(identity)) return null;
    return isOver(grant, this.#clock.nowMs()) ? null : grant;
  }

  /** The key of an identity that may connect now, or null. */
  keyOf(identity: string): Buffer | null {
    const grant = this.find(identity);
    return grant === null ? null : this.#keyOf(grant);
  }

  #keyOf(grant: NbdGrant): Buffer {
    return createHmac('sha256', this.#key).update(grant.id).digest();
  }

  /** One change after another. What is taken away is so at once, what is added only when it is durable. */
  async #change<T>(change: (grants: Map<string, NbdGrant>) => T): Promise<T> {
    return await this.#lock.run('file', async () => {
      const grants = new Map(this.#grants);
      const result = change(grants);
      if (grants.size === this.#grants.size && [...grants.keys()].every((id) => this.#grants.has(id))) return result;
      this.#grants = new Map([...this.#grants].filter(([id]) => grants.has(id)));
      await writeFileAtomic(this.#path, encodeGrants([...grants.values()]), { mode: 0o600 });
      this.#grants = grants;
      return result;
    });
  }
}

interface GrantOptions {
  readonly path: string;
  readonly masterKey: Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
}

function isOver(grant: NbdGrant, nowMs: number): boolean {
  return grant.expiresAtMs !== null && grant.expiresAtMs <= nowMs;
}

function encodeGrants(grants: readonly NbdGrant[]): string {
  return `${JSON.stringify({ version: VERSION, grants }, null, 2)}\n`;
}

async function readGrants(path: string): Promise<ReadonlyMap<string, NbdGrant>> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return new Map();
    throw error;
  }
  try {
    const { version, grants } = file(JSON.parse(content), 'grants');
    if (version !== VERSION) throw new DecodeError(`version ${version} is not known here`);
    const foreign = grants.find((grant) => !grant.id.startsWith(`${grant.exportId}.`));
    if (foreign !== undefined) throw new DecodeError(`${foreign.id} is not a grant of ${foreign.exportId}`);
    return new Map(grants.map((grant) => [grant.id, grant]));
  } catch (error) {
    throw new Error(`${path}: the credentials for NBD over TCP cannot be read; remove it to revoke all`, {
      cause: error,
    });
  }
}

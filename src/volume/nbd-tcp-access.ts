import type { Log } from '#base/log.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';

import { type NbdAccess, type NbdGrant, VolumeHostError } from './host.ts';
import type { NbdTcp } from './host-settings.ts';
import type { NbdExportTable } from './nbd-export-table.ts';
import type { NbdGrants } from './nbd-grants.ts';

/** Who may open what over TCP: the port, and the credentials that are good there. */
export class NbdTcpAccess {
  readonly #exports: NbdExportTable;
  readonly #grants: NbdGrants;
  readonly #log: Log;
  /** Where it listens, with the port that it got. */
  #address: NbdTcp | null = null;

  constructor(parts: { readonly exports: NbdExportTable; readonly grants: NbdGrants; readonly log: Log }) {
    this.#exports = parts.exports;
    this.#grants = parts.grants;
    this.#log = parts.log;
  }

  get isListening(): boolean {
    return this.#address !== null;
  }

  /** Throws VolumeHostError 'internal' when the address cannot be had. */
  async listen(address: NbdTcp): Promise<void> {
    const port = await this.#exports.listenTcp(address, this.#grants).catch((error: unknown) => {
      throw new VolumeHostError('internal', `NBD cannot be served over TCP on ${address.host}, port ${address.port}`, {
        cause: error,
      });
    });
    this.#address = { host: address.host, port };
    this.#log.info('nbd.listen', { ...this.#address });
  }

  /** Throws VolumeHostError 'internal' when nothing listens. */
  async issue(exportId: VolumeId | SnapshotId, ttlMs: number | null): Promise<NbdAccess> {
    if (this.#address === null) {
      throw new VolumeHostError('internal', 'NBD is not served over TCP; start the server with --nbd-tcp [HOST:]PORT');
    }
    const { grant, key } = await this.#grants.issue(exportId, ttlMs);
    this.#log.info('nbd.grant', { grant: grant.id, expiresAtMs: grant.expiresAtMs });
    return { grant, key: key.toString('hex'), ...this.#address };
  }

  list(exportId: VolumeId | SnapshotId | null): readonly NbdGrant[] {
    return this.#grants.list(exportId);
  }

  /** False: there was none. */
  async revoke(grantId: string): Promise<boolean> {
    const revoking = this.#grants.revoke(grantId); // Nobody gets in by it from here on.
    this.#exports.disconnect(grantId);
    const found = await revoking;
    if (found) this.#log.info('nbd.revoke', { grant: grantId });
    return found;
  }

  /** All credentials of an export that is gone. */
  async forget(exportId: VolumeId | SnapshotId): Promise<void> {
    await this.#grants.forget(exportId);
  }
}

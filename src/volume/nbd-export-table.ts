import { join } from 'node:path';

import { assert, present } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { removeStaleSocket } from '#base/run-directory.ts';
import type { BlockDevice } from '#block/device.ts';
import { parseSnapshotId, type SnapshotId, type VolumeId } from '#domain/ids.ts';

import type { NbdClients } from './host.ts';
import type { NbdTcp } from './host-settings.ts';
import { type NbdExport, type NbdExports, singleExport } from './nbd-export.ts';
import type { NbdGrants } from './nbd-grants.ts';
import { type NbdListener, NbdServer } from './nbd-server.ts';

interface Served {
  readonly entry: NbdExport;
  readonly listener: NbdListener;
}

/**
 * What a host serves over NBD: each device on a unix socket of its own, `<directory>/<id>.sock`, which only this user can
 * reach; and by its id on one TCP port, if there is one, for who has the key of a grant for it.
 */
export class NbdExportTable implements AsyncDisposable {
  readonly #server: NbdServer;
  readonly #socketDirectory: string;
  readonly #openSnapshot: (snapshot: SnapshotId) => Promise<void>;
  readonly #log: Log;
  readonly #served = new Map<string, Served>();

  constructor(options: {
    readonly socketDirectory: string;
    readonly clock: Clock;
    readonly log: Log;
    /** A client of the TCP port asks for a snapshot that is not served: adds it, or throws when there is none. */
    readonly openSnapshot: (snapshot: SnapshotId) => Promise<void>;
  }) {
    this.#server = new NbdServer({ clock: options.clock, log: options.log });
    this.#socketDirectory = options.socketDirectory;
    this.#openSnapshot = options.openSnapshot;
    this.#log = options.log;
  }

  /** Serves a device until `remove`; answers its socket. A socket file that a killed host left is replaced. */
  async add(id: VolumeId | SnapshotId, device: BlockDevice): Promise<string> {
    assert(!this.#served.has(id), 'a device is served once');
    const socketPath = this.socketPath(id);
    const entry: NbdExport = {
      id,
      device,
      description: device.readOnly ? `snapshot ${id}` : `volume ${id}`,
      // Who came by TCP may have found it before it was removed, and open it afterwards.
      isServed: () => this.#served.get(id)?.entry === entry,
    };
    removeStaleSocket(socketPath);
    const listener = await this.#server.listen({ socketPath, exports: singleExport(entry) });
    this.#served.set(id, { entry, listener });
    return socketPath;
  }

  /** Nobody new, then the clients that are there are cut; the device has nothing to do for them any more when it resolves. */
  async remove(id: VolumeId | SnapshotId): Promise<void> {
    const served = this.#served.get(id);
    if (served === undefined) return;
    this.#served.delete(id);
    try {
      await served.listener.close();
    } finally {
      await this.#server.close(id);
    }
  }

  socketPath(id: VolumeId | SnapshotId): string {
    return join(this.#socketDirectory, `${id}.sock`);
  }

  clientCount(id: VolumeId | SnapshotId): number {
    return this.#server.clientCount(id);
  }

  clients(): NbdClients {
    return this.#server.clients();
  }

  /**
   * Answers the port. Nothing is told or opened there without TLS and the key of a grant, and with it only what it was
   * granted for: also on 127.0.0.1, where every user of the machine can connect.
   */
  async listenTcp(address: NbdTcp, grants: NbdGrants): Promise<number> {
    const listener = await this.#server.listenTcp({
      ...address,
      exports: { resolve: async () => null, list: async () => null },
      tls: {
        mode: 'require',
        keyOf: (identity) => grants.keyOf(identity),
        exportsOf: (identity) => this.#granted(identity, grants),
      },
    });
    return present(listener.port, 'a TCP listener has a port');
  }

  /** Cuts, at once, whoever came in by this grant. */
  disconnect(grantId: string): void {
    this.#server.disconnect(grantId);
  }

  /** Cuts all clients and takes no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#served.clear();
    await this.#server.stop();
  }

  async #resolve(name: string): Promise<NbdExport | null> {
    const served = this.#served.get(name);
    if (served !== undefined) return served.entry;
    const snapshot = parseSnapshotId(name);
    if (snapshot === null) return null;
    try {
      await this.#openSnapshot(snapshot);
    } catch (error) {
      this.#log.warn('nbd.no-such-snapshot', { snapshot, error });
      return null;
    }
    return this.#served.get(name)?.entry ?? null;
  }

  /** The grant is looked up again each time: it may have been revoked since its key was shown. */
  #granted(identity: string, grants: NbdGrants): NbdExports {
    return {
      resolve: async (name) => {
        const grant = grants.find(identity);
        return grant !== null && (name === '' || name === grant.exportId) ? this.#resolve(grant.exportId) : null;
      },
      list: async () => {
        const grant = grants.find(identity);
        const found = grant === null ? null : await this.#resolve(grant.exportId);
        return found === null ? [] : [{ name: found.id, description: found.description }];
      },
    };
  }
}

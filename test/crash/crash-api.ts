import { randomUUID } from 'node:crypto';
import {
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DeleteSnapshotCommand,
  DeleteVolumeCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  EC2Client,
  EC2ServiceException,
} from '@aws-sdk/client-ec2';
import { askServer } from '#src/cli/admin-client.ts';
import type { RunningServer } from '../running-server.ts';

/** What became of a call: answered, refused (4xx), failed (5xx), or not answered, so that nobody knows. */
export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'unknown'; readonly message: string };

export interface SnapshotState {
  readonly id: string;
  readonly state: string;
  readonly description: string;
  readonly message: string;
}

/** The calls that a crash run makes of a server that may die at any instant. */
export class CrashApi implements Disposable {
  readonly #client: EC2Client;
  readonly #data: string;

  constructor(server: RunningServer) {
    this.#data = server.dataDirectory;
    this.#client = new EC2Client({
      endpoint: server.endpoint,
      region: 'us-east-1',
      credentials: server.credentials,
      maxAttempts: 1,
    });
  }

  /** `origin`: the snapshot to make it from. Answers its id. */
  async createVolume(origin: string | null): Promise<Outcome<string>> {
    return await this.#call(async () => {
      const made = await this.#client.send(
        new CreateVolumeCommand({
          AvailabilityZone: 'us-east-1a',
          ClientToken: randomUUID(),
          ...(origin === null ? { Size: 1 } : { SnapshotId: origin }),
        }),
      );
      return made.VolumeId ?? '';
    });
  }

  async deleteVolume(id: string): Promise<Outcome<void>> {
    return await this.#call(async () => {
      await this.#client.send(new DeleteVolumeCommand({ VolumeId: id }));
    });
  }

  async createSnapshot(volume: string, description: string): Promise<Outcome<string>> {
    return await this.#call(async () => {
      const made = await this.#client.send(new CreateSnapshotCommand({ VolumeId: volume, Description: description }));
      return made.SnapshotId ?? '';
    });
  }

  async deleteSnapshot(id: string): Promise<Outcome<void>> {
    return await this.#call(async () => {
      await this.#client.send(new DeleteSnapshotCommand({ SnapshotId: id }));
    });
  }

  /** Ids and states. Throws when there is no answer. */
  async volumes(): Promise<ReadonlyMap<string, string>> {
    const { Volumes = [] } = await this.#client.send(new DescribeVolumesCommand({}));
    return new Map(Volumes.map(({ VolumeId = '', State = '' }) => [VolumeId, State]));
  }

  async snapshots(): Promise<ReadonlyMap<string, SnapshotState>> {
    const { Snapshots = [] } = await this.#client.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }));
    return new Map(
      Snapshots.map(({ SnapshotId: id = '', State: state = '', Description: description = '', StateMessage = '' }) => [
        id,
        { id, state, description, message: StateMessage },
      ]),
    );
  }

  /** Gives back what nothing needs, now. */
  async collect(): Promise<Outcome<void>> {
    return await this.#call(async () => {
      await askServer({ data: this.#data }, 'POST', '/collect');
    });
  }

  /** The NBD address of a volume or completed snapshot. Throws while the server is still opening what it serves. */
  async uri(id: string): Promise<string> {
    const reply = await askServer({ data: this.#data }, 'GET', `/connect?name=${id}`);
    return (reply as { readonly uri: string }).uri;
  }

  [Symbol.dispose](): void {
    this.#client.destroy();
  }

  async #call<T>(work: () => Promise<T>): Promise<Outcome<T>> {
    try {
      return { kind: 'done', value: await work() };
    } catch (error) {
      if (!(error instanceof EC2ServiceException)) {
        return { kind: 'unknown', message: error instanceof Error ? error.message : String(error) };
      }
      const kind = (error.$metadata.httpStatusCode ?? 500) < 500 ? 'refused' : 'failed';
      return { kind, code: error.name, message: error.message };
    }
  }
}

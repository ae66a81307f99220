import type { DocumentRecord, InputRecord } from '#client/command.ts';
import { isName } from '#domain/name.ts';

import { CommandError } from './command-error.ts';
import { firstZone, idIn, RefusedError, type ServerApi, textAt } from './server-api.ts';

/** Of a description; a tag's value may have one more. */
const EC2_TEXT_LENGTH_MAX = 255;
const NAME_RULE = '2 to 255 letters, digits, _ and -, and no - at its beginning or end';

/** A disk that was made for an image. */
export interface NewDisk {
  /** `vol-…`. */
  readonly id: string;
  /** What a person calls it. */
  readonly label: string;
}

/** What an import asks of the server, in the words of one of the two services that have disks. */
export interface DiskService {
  /** For people: `Lightsail disk` or `EC2 volume`. */
  readonly noun: string;
  readonly sizeGibMin: number;
  create(name: string, sizeGib: number): Promise<NewDisk>;
  remove(disk: NewDisk): Promise<void>;
  /** Throws CommandError when no snapshot can get this name. `diskName`: of the disk that it will be taken of. */
  checkSnapshotName(name: string, diskName: string): Promise<void>;
  /** Asks for a snapshot; answers its id while it is stored. */
  snapshot(disk: NewDisk, name: string): Promise<string>;
}

export class LightsailService implements DiskService {
  readonly noun = 'Lightsail disk';
  readonly sizeGibMin = 8;
  readonly #api: ServerApi;
  readonly #region: string;

  /** Throws ConfigError when there is no such region. */
  constructor(api: ServerApi, region: string) {
    firstZone(region);
    this.#api = api;
    this.#region = region;
  }

  async create(name: string, sizeGib: number): Promise<NewDisk> {
    await this.#call('CreateDisk', {
      diskName: name,
      availabilityZone: firstZone(this.#region),
      sizeInGb: sizeGib,
    });
    const reply = await this.#call('GetDisk', { diskName: name }).catch((error: unknown) => {
      throw new CommandError(`the disk ${name} was made, and stays, empty`, { cause: error });
    });
    return { id: idIn(textAt(reply, 'disk', 'supportCode')), label: name };
  }

  async remove(disk: NewDisk): Promise<void> {
    await this.#call('DeleteDisk', { diskName: disk.label });
  }

  async checkSnapshotName(name: string, diskName: string): Promise<void> {
    if (!isName(name)) throw new CommandError(`--snapshot-name: "${name}" is no name of Lightsail: ${NAME_RULE}`);
    const taken = new CommandError(`--snapshot-name: there is something of the name "${name}" already`);
    if (name === diskName) throw new CommandError(`--snapshot-name: "${name}" is the disk's name; give another`);
    // Disks and snapshots have one set of names between them.
    if (await this.#isThere('GetDiskSnapshot', { diskSnapshotName: name })) throw taken;
    if (await this.#isThere('GetDisk', { diskName: name })) throw taken;
  }

  async #isThere(operation: string, input: InputRecord): Promise<boolean> {
    try {
      await this.#call(operation, input);
      return true;
    } catch (error) {
      if (error instanceof RefusedError && error.code === 'NotFoundException') return false;
      throw error;
    }
  }

  async snapshot(disk: NewDisk, name: string): Promise<string> {
    await this.#call('CreateDiskSnapshot', { diskName: disk.label, diskSnapshotName: name });
    const reply = await this.#call('GetDiskSnapshot', { diskSnapshotName: name });
    return idIn(textAt(reply, 'diskSnapshot', 'supportCode'));
  }

  async #call(operation: string, input: InputRecord): Promise<DocumentRecord> {
    return await this.#api.call({ service: 'lightsail', operation, region: this.#region }, input);
  }
}

export class Ec2Service implements DiskService {
  readonly noun = 'EC2 volume';
  readonly sizeGibMin = 1;
  readonly #api: ServerApi;
  readonly #region: string;

  /** Throws ConfigError when there is no such region. */
  constructor(api: ServerApi, region: string) {
    firstZone(region);
    this.#api = api;
    this.#region = region;
  }

  async create(name: string, sizeGib: number): Promise<NewDisk> {
    const place = { AvailabilityZone: firstZone(this.#region), Size: sizeGib, VolumeType: 'gp3' };
    const id = textAt(await this.#call('CreateVolume', { ...place, ...named('volume', name) }), 'VolumeId');
    return { id, label: id };
  }

  async remove(disk: NewDisk): Promise<void> {
    await this.#call('DeleteVolume', { VolumeId: disk.id });
  }

  async checkSnapshotName(name: string): Promise<void> {
    if (name.length > 0 && name.length <= EC2_TEXT_LENGTH_MAX) return;
    throw new CommandError(`--snapshot-name: a description has 1 to ${EC2_TEXT_LENGTH_MAX} characters`);
  }

  async snapshot(disk: NewDisk, name: string): Promise<string> {
    const input = { VolumeId: disk.id, Description: name, ...named('snapshot', name) };
    return textAt(await this.#call('CreateSnapshot', input), 'SnapshotId');
  }

  async #call(operation: string, input: InputRecord): Promise<DocumentRecord> {
    return await this.#api.call({ service: 'ec2', operation, region: this.#region }, input);
  }
}

/** EC2 knows names as tags only. */
function named(resource: 'volume' | 'snapshot', name: string): InputRecord {
  return { TagSpecifications: [{ ResourceType: resource, Tags: [{ Key: 'Name', Value: name }] }] };
}

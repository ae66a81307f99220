import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

import type { Clock } from '#base/clock.ts';
import { isName } from '#domain/name.ts';
import { findRegion } from '#domain/region.ts';
import { signRequest } from '#wire/aws/sigv4-sign.ts';
import { ConfigError } from '#src/config.ts';

import { CommandError } from './command-error.ts';
import { type Credentials, readCredentialsFile } from './credentials-file.ts';
import { readServerFile } from './server-file.ts';
import { servedDirectory } from './served-directory.ts';

/** How often a snapshot is asked whether it is complete. */
const POLL_MS = 250;
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
  /** Asks for a snapshot and waits until it is complete; answers its id. */
  snapshot(disk: NewDisk, name: string, options: SnapshotOptions): Promise<string>;
}

export interface SnapshotOptions {
  readonly signal: AbortSignal;
  readonly onPercent: (percent: number) => void;
}

/** The server refused a call. `code`: the service's, or null. */
export class RefusedError extends CommandError {
  readonly code: string | null;

  constructor(message: string, code: string | null) {
    super(message);
    this.code = code;
  }
}

/** The running server, spoken to with the root key of its first account, as the AWS tools do. */
export class AwsServer {
  readonly #endpoint: URL;
  readonly #credentials: Credentials;
  readonly #clock: Clock;
  /** A certificate authority beside the usual ones (AWS_CA_BUNDLE). */
  readonly #authority: string | null;
  readonly region: string;
  /** The region's first zone. */
  readonly zone: string;

  private constructor(parts: {
    endpoint: string;
    credentials: Credentials;
    clock: Clock;
    authority: string | null;
    region: string;
    zone: string;
  }) {
    this.#endpoint = new URL(parts.endpoint);
    this.#credentials = parts.credentials;
    this.#clock = parts.clock;
    this.#authority = parts.authority;
    this.region = parts.region;
    this.zone = parts.zone;
  }

  static async find(options: {
    data: string | undefined;
    region: string | undefined;
    clock: Clock;
  }): Promise<AwsServer> {
    const dataDirectory = servedDirectory(options);
    const server = await readServerFile(dataDirectory);
    const credentials = await readCredentialsFile(dataDirectory);
    if (server === null || credentials === null) {
      throw new CommandError(
        `no server runs on ${dataDirectory}; start one with "varve serve --data ${dataDirectory}"`,
      );
    }
    const region = findRegion(options.region ?? server.region);
    const zone = region?.zones[0]?.name;
    if (region === null || zone === undefined)
      throw new ConfigError(`--region: there is no region "${options.region}"`);
    const bundle = process.env['AWS_CA_BUNDLE'];
    const authority = bundle === undefined || bundle === '' ? null : await readFile(bundle, 'utf8');
    const { endpoint } = server;
    return new AwsServer({ endpoint, credentials, clock: options.clock, authority, region: region.name, zone });
  }

  /** One call; answers the body. Throws RefusedError in the server's words when it refuses. */
  async call(service: 'ec2' | 'lightsail', headers: readonly [string, string][], body: string): Promise<string> {
    const bytes = Buffer.from(body);
    const { host, hostname, port, protocol } = this.#endpoint;
    const head = { method: 'POST', path: '/', query: '', headers: [['Host', host] as [string, string], ...headers] };
    const { accessKeyId, secretAccessKey } = this.#credentials;
    const signed = signRequest(head, bytes, {
      credentials: { accessKeyId, secretAccessKey },
      region: this.region,
      service,
      nowMs: this.#clock.nowMs(),
    });
    const reply = await new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
      const options = {
        hostname: hostname.replace(/^\[|\]$/g, ''),
        port,
        method: 'POST',
        path: '/',
        headers: Object.fromEntries([...signed, ['Content-Length', String(bytes.length)]]),
        ...(this.#authority === null ? {} : { ca: this.#authority }),
      };
      const sent = (protocol === 'https:' ? httpsRequest : httpRequest)(options, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString() }));
        response.on('error', reject);
      });
      sent.on('error', (error) =>
        reject(new CommandError(`the server at ${this.#endpoint.origin} does not answer`, { cause: error })),
      );
      sent.end(bytes);
    });
    if (reply.status === 200) return reply.text;
    throw new RefusedError(refusalIn(reply.text) ?? `the server answered ${reply.status}`, codeIn(reply.text));
  }

  /** Waits between two questions. */
  async pause(signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(POLL_MS, signal);
  }
}

export class LightsailService implements DiskService {
  readonly noun = 'Lightsail disk';
  readonly sizeGibMin = 8;
  readonly #server: AwsServer;

  constructor(server: AwsServer) {
    this.#server = server;
  }

  async create(name: string, sizeGib: number): Promise<NewDisk> {
    const availabilityZone = this.#server.zone;
    await this.#call('CreateDisk', { diskName: name, availabilityZone, sizeInGb: sizeGib });
    const reply = await this.#call('GetDisk', { diskName: name }).catch((error: unknown) => {
      throw new CommandError(`the disk ${name} was made, and stays, empty`, { cause: error });
    });
    const id = /"supportCode":"\d+\/(vol-[0-9a-f]+)"/.exec(reply)?.[1];
    if (id === undefined) throw new CommandError(`the server does not say which volume ${name} is`);
    return { id, label: name };
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

  async #isThere(operation: string, input: unknown): Promise<boolean> {
    try {
      await this.#call(operation, input);
      return true;
    } catch (error) {
      if (error instanceof RefusedError && error.code === 'NotFoundException') return false;
      throw error;
    }
  }

  async snapshot(disk: NewDisk, name: string, options: SnapshotOptions): Promise<string> {
    await this.#call('CreateDiskSnapshot', { diskName: disk.label, diskSnapshotName: name });
    for (;;) {
      const reply = await this.#call('GetDiskSnapshot', { diskSnapshotName: name });
      const [state, id, progress] = ['state', 'supportCode', 'progress'].map((member) => memberOf(reply, member));
      if (state === 'completed') return id?.split('/')[1] ?? name;
      if (state !== 'pending') throw new CommandError(`the snapshot ${name} is ${state ?? 'gone'}`);
      options.onPercent(Number.parseInt(progress ?? '0', 10));
      await this.#server.pause(options.signal);
    }
  }

  async #call(operation: string, input: unknown): Promise<string> {
    const headers: readonly [string, string][] = [
      ['Content-Type', 'application/x-amz-json-1.1'],
      ['X-Amz-Target', `Lightsail_20161128.${operation}`],
    ];
    return await this.#server.call('lightsail', headers, JSON.stringify(input));
  }
}

export class Ec2Service implements DiskService {
  readonly noun = 'EC2 volume';
  readonly sizeGibMin = 1;
  readonly #server: AwsServer;

  constructor(server: AwsServer) {
    this.#server = server;
  }

  async create(name: string, sizeGib: number): Promise<NewDisk> {
    const input = { AvailabilityZone: this.#server.zone, Size: String(sizeGib), VolumeType: 'gp3' };
    const reply = await this.#call('CreateVolume', { ...input, ...named('volume', name) });
    const id = elementOf(reply, 'volumeId');
    if (id === null) throw new CommandError('the server does not say which volume it made');
    return { id, label: id };
  }

  async remove(disk: NewDisk): Promise<void> {
    await this.#call('DeleteVolume', { VolumeId: disk.id });
  }

  async checkSnapshotName(name: string): Promise<void> {
    if (name.length > 0 && name.length <= EC2_TEXT_LENGTH_MAX) return;
    throw new CommandError(`--snapshot-name: a description has 1 to ${EC2_TEXT_LENGTH_MAX} characters`);
  }

  async snapshot(disk: NewDisk, name: string, options: SnapshotOptions): Promise<string> {
    const made = await this.#call('CreateSnapshot', {
      VolumeId: disk.id,
      Description: name,
      ...named('snapshot', name),
    });
    const id = elementOf(made, 'snapshotId');
    if (id === null) throw new CommandError('the server does not say which snapshot it made');
    for (;;) {
      const reply = await this.#call('DescribeSnapshots', { 'SnapshotId.1': id });
      const state = elementOf(reply, 'status');
      if (state === 'completed') return id;
      if (state !== 'pending') throw new CommandError(`the snapshot ${id} is ${state ?? 'gone'}`);
      options.onPercent(Number.parseInt(elementOf(reply, 'progress') ?? '0', 10));
      await this.#server.pause(options.signal);
    }
  }

  async #call(action: string, input: Readonly<Record<string, string>>): Promise<string> {
    const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...input }).toString();
    return await this.#server.call('ec2', [['Content-Type', 'application/x-www-form-urlencoded; charset=utf-8']], body);
  }
}

/** EC2 knows names as tags only. */
function named(resource: 'volume' | 'snapshot', name: string): Readonly<Record<string, string>> {
  return {
    'TagSpecification.1.ResourceType': resource,
    'TagSpecification.1.Tag.1.Key': 'Name',
    'TagSpecification.1.Tag.1.Value': name,
  };
}

/** A text of our own server's JSON, which has no such member twice. */
function memberOf(json: string, name: string): string | undefined {
  return new RegExp(`"${name}":"([^"\\\\]*)"`).exec(json)?.[1];
}

/** The text of the first element of that name of our own server's XML: an id or a word, which need no escapes. */
function elementOf(xml: string, name: string): string | null {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1] ?? null;
}

/** What a refusal says, in either service's form. */
function refusalIn(text: string): string | null {
  const inXml = elementOf(text, 'Message');
  if (inXml !== null) {
    return inXml.replace(/&(amp|lt|gt|quot|apos);/g, (_all, name: string) => ENTITIES[name] ?? '');
  }
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'message' in value ? String(value.message) : null;
  } catch {
    return null; // No refusal of ours.
  }
}

/** The code of a refusal, in either service's form. */
function codeIn(text: string): string | null {
  return elementOf(text, 'Code') ?? memberOf(text, '__type')?.split('#').at(-1) ?? null;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

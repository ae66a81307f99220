import { type Connection, openConnection } from '#client/connection/connection.ts';
import { ServiceError } from '#client/connection/service-error.ts';
import { ClientError, type DocumentRecord, type InputRecord, NO_GLOBALS, NO_PAGING } from '#client/command.ts';
import { findRegion } from '#domain/region.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { ConfigError, type ConfigOptions } from '#src/config.ts';

import { noServer } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { type Credentials, readCredentialsFile } from './credentials-file.ts';
import type { ListedResource } from './listed-resource.ts';
import { readServerFile, type ServerFile } from './server-file.ts';
import { servedDirectory } from './served-directory.ts';

/** The server refused a call. `code`: the service's; null: the call did not come to an answer. */
export class RefusedError extends CommandError {
  readonly code: string | null;

  constructor(message: string, code: string | null) {
    super(message);
    this.code = code;
  }
}

/** The API of the running server, called as the AWS tools do, with the root key of its first account. */
export class ServerApi {
  readonly #server: ServerFile;
  readonly #credentials: Credentials;
  readonly #connections = new Map<string, Promise<Connection>>();

  private constructor(server: ServerFile, credentials: Credentials) {
    this.#server = server;
    this.#credentials = credentials;
  }

  /** Throws CommandError when no server runs there. */
  static async find(options: ConfigOptions): Promise<ServerApi> {
    const dataDirectory = servedDirectory(options);
    const [server, credentials] = await Promise.all([
      readServerFile(dataDirectory),
      readCredentialsFile(dataDirectory),
    ]);
    if (server === null || credentials === null) {
      throw noServer(dataDirectory);
    }
    return new ServerApi(server, credentials);
  }

  /** Where this is made if nothing else is said. */
  get region(): string {
    return this.#server.region;
  }

  /** Throws CommandError when the resource is another account's: this command speaks for the first one. */
  checkOwn({ id, account }: ListedResource): void {
    if (account === this.#credentials.accountId) return;
    throw new CommandError(
      `${id} is of account ${account}; this command speaks for ${this.#credentials.accountId}. ` +
        'Use "varve ec2" or "varve lightsail" with a key of that account',
    );
  }

  /** One call in a region. Throws RefusedError in the service's words when it refuses. */
  async call(
    to: { readonly service: ServiceName; readonly operation: string; readonly region: string },
    input: InputRecord,
  ): Promise<DocumentRecord> {
    const { service, operation, region } = to;
    try {
      const connection = await this.#connection(service, region);
      const reply = await connection.call({
        ...{ kind: 'call', service, operation, commandName: operation, input, outfile: null },
        ...{ globals: { ...NO_GLOBALS, region }, paging: NO_PAGING },
      });
      return await reply.whole();
    } catch (error) {
      if (error instanceof ServiceError) {
        throw new RefusedError(`${operation} was refused: ${error.serviceMessage} (${error.code})`, error.code);
      }
      if (error instanceof ClientError) throw new RefusedError(error.message.trim(), null);
      throw error;
    }
  }

  async #connection(service: ServiceName, region: string): Promise<Connection> {
    const name = `${service} ${region}`;
    const known = this.#connections.get(name);
    if (known !== undefined) return await known;
    const { endpoint } = this.#server;
    const { accessKeyId, secretAccessKey } = this.#credentials;
    const caBundle = process.env['AWS_CA_BUNDLE'];
    // What the user has configured for AWS is not for this server.
    const made = openConnection(
      { service, globals: { ...NO_GLOBALS, region } },
      {
        environment: {
          AWS_CONFIG_FILE: '/dev/null',
          AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
          ...(caBundle === undefined ? {} : { AWS_CA_BUNDLE: caBundle }),
        },
        home: '/',
        stdout: process.stdout,
        stderr: process.stderr,
        localServer: () => Promise.resolve({ endpoint, region, accessKeyId, secretAccessKey }),
      },
    );
    this.#connections.set(name, made);
    return await made;
  }
}

/** The first zone of a region. Throws ConfigError when there is no such region. */
export function firstZone(region: string): string {
  const zone = findRegion(region)?.zones[0]?.name;
  if (zone !== undefined) return zone;
  throw new ConfigError(`--region: there is no region "${region}"`);
}

/** The id in Lightsail's support code of a resource: `123456789012/vol-…`. */
export function idIn(supportCode: string): string {
  return supportCode.slice(supportCode.indexOf('/') + 1);
}

/** A text of a reply, at these names and numbers. Throws CommandError when it is not there: the server is of another kind. */
export function textAt(document: DocumentRecord, ...path: readonly (string | number)[]): string {
  let at: unknown = document;
  for (const name of path) {
    at = typeof at === 'object' && at !== null ? Object.getOwnPropertyDescriptor(at, name)?.value : undefined;
  }
  if (typeof at === 'string') return at;
  throw new CommandError(`the server's answer has no ${path.join('.')}`);
}

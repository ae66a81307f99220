import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { rm } from 'node:fs/promises';
import { describeError } from '#base/log.ts';
import type { AuditHeads } from '#api/audit-log.ts';
import { addressOf, AmbiguousNameError, grantAccess, grantsOf } from '#control/operator.ts';
import type { ControlPorts } from '#control/ports.ts';
import { acceptClock } from '#control/steady-time.ts';
import { storedSnapshots } from '#control/stored-snapshots.ts';
import type { TaskReport } from '#control/tasks/task.ts';
import { DomainError, type Failure } from '#domain/errors.ts';
import { answerAccounts, answerKeys } from './accounts.ts';
import { answerBlueprints } from './blueprints.ts';
import { answerChanges } from './changes.ts';
import { answerInstanceSnapshots } from './instance-snapshots.ts';
import type { LogFeed } from './log-feed.ts';
import { answerConsole, answerSsh } from './machines.ts';
import { answerFreed, answerResource, answerSnapshots, answerUploads, answerVolumes } from './resources.ts';

/** How an address is written is the data plane's affair; the composition gives it. */
export type NbdUri = (exportName: string, socketPath: string) => string;

export interface AdminServer {
  close(): Promise<void>;
}

/** A path may name a thousand snapshots. */
const HEAD_BYTES_MAX = 64 * 1024;

interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * What the `varve` command asks of a running server, as JSON over HTTP on a unix socket in a directory that only the
 * server's user can enter: that is the authentication.
 *
 * - `GET /connect?name=NAME|ID` → `{ uri, readOnly }`
 * - `POST /grants?name=NAME|ID&ttlMs=N` → `{ grant, key, host, port, readOnly }`: a credential for NBD over TCP; without `ttlMs` it has no end
 * - `GET /grants?name=NAME|ID` → `{ grants }`: of one volume or snapshot, or without `name` all
 * - `DELETE /grants?id=ID` → `{ revoked }`
 * - `POST /collect` → `{ done, failed, remaining }`: gives back what nothing needs, now; answered when it is done
 * - `GET /snapshots?after=N` → `{ snapshots, next }`: a page of all snapshots with their exact sizes
 * - `GET /instance-snapshots?after=N` → `{ instance-snapshots, next }`: a page of all snapshots of machines, and how consistent they are
 * - `GET /volumes?after=N` → `{ volumes, next }`: a page of all volumes, and how far they are hydrated
 * - `GET /resource?name=NAME|ID` → what kind it is of, whose and where: `{ kind, id, name, face, account, region, state, … }`
 * - `GET /uploads?id=ID&id=…` → `{ uploads, gone }`: how far these snapshots have come, or those that are pending
 * - `GET /freed?id=ID&id=…` → `{ freedBytes }`: what deleting all of these snapshots together would free
 * - `GET /stored?after=N` → `{ stored, next }`: a page of the snapshots that the store must have, by the metadata
 * - `GET /changes?first=ID&second=ID&after=N` → `{ changes, next }`: a page of the chunks in which two snapshots may differ; `changes` null: nobody knows
 * - `GET /store` → `{ snapshotCount, storedBytes, neededBytes, fullBytes }`
 * - `GET /audit` → how far each series of the audit log has come (`AuditHeads`); all of it is in the files
 * - `GET /clock` → how the wall clock stands to the time that passed (`TimeState`)
 * - `POST /clock` → the same, once the wall clock was declared right
 * - `GET /blueprints` → `{ blueprints }`; `POST /blueprints?snapshot=ID&id=…` → the blueprint; `DELETE /blueprints?id=ID` → the blueprint that was
 * - `GET /ssh?name=NAME|ID` → `{ id, account, region, address, port, userName, privateKey }`: how to get into an instance
 * - `GET /console?name=NAME|ID` → `{ base64 }`: the end of what an instance wrote to its serial console
 * - `GET /trace` → what the server logs from now on, a JSON object a line, until the reader goes
 * - `GET /status` → what the composition tells of the whole server
 * - `GET /accounts` → `{ accounts }`; `POST /accounts?alias=TEXT` → `{ AccountId, AccessKeyId, SecretAccessKey }`
 * - `POST /keys?replace=ID` → the same: a new key for a root in the place of that one
 *
 * Refusals are 4xx with `{ message }` for a person.
 */
export async function startAdminServer(options: {
  readonly ports: ControlPorts;
  readonly socketPath: string;
  readonly nbdUri: NbdUri;
  /** One whole collection, begun after the call. */
  readonly collect: () => Promise<TaskReport>;
  /** Brings what was recorded into the files of the audit log. */
  readonly audit: () => Promise<AuditHeads>;
  readonly status: () => Promise<Readonly<Record<string, unknown>>>;
  /** What the server logs. */
  readonly feed: LogFeed;
}): Promise<AdminServer> {
  const { socketPath } = options;
  const server = createServer({ maxHeaderSize: HEAD_BYTES_MAX }, (request, response) => {
    request.resume(); // No verb has a body.
    if (request.method === 'GET' && request.url === '/trace') {
      options.feed.stream(response);
      return;
    }
    void answer(options, request).then((reply) => send(response, reply));
  });
  // Whoever holds the data directory's lock owns the socket: what is there was left by a process that is dead.
  await rm(socketPath, { force: true });
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen(socketPath, listening.resolve);
  await listening.promise;
  return {
    close: async () => {
      options.feed.end();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

async function answer(
  { ports, nbdUri, collect, audit, status }: Parameters<typeof startAdminServer>[0],
  request: IncomingMessage,
): Promise<Reply> {
  try {
    const url = new URL(request.url ?? '/', 'http://admin');
    const verb = `${request.method ?? ''} ${url.pathname}`;
    if (verb === 'GET /connect') {
      const address = await addressOf(ports, url.searchParams.get('name') ?? '');
      const uri = nbdUri(address.exportName, address.socketPath);
      return { status: 200, body: { uri, readOnly: address.readOnly } };
    }
    if (url.pathname === '/grants') return await answerGrants(ports, request.method ?? '', url.searchParams);
    if (url.pathname === '/blueprints') return await answerBlueprints(ports, request.method ?? '', url.searchParams);
    const name = url.searchParams.get('name') ?? '';
    if (verb === 'GET /ssh') return { status: 200, body: await answerSsh(ports, name) };
    if (verb === 'GET /console') return { status: 200, body: await answerConsole(ports, name) };
    if (verb === 'GET /resource') return await answerResource(ports, name);
    if (verb === 'GET /uploads') return await answerUploads(ports, url.searchParams.getAll('id'));
    if (verb === 'GET /freed') return await answerFreed(ports, url.searchParams.getAll('id'));
    if (verb === 'GET /snapshots') return await answerSnapshots(ports, Number(url.searchParams.get('after') ?? 0));
    if (verb === 'GET /instance-snapshots') return await answerInstanceSnapshots(ports, url.searchParams.get('after'));
    if (verb === 'GET /volumes') return await answerVolumes(ports, Number(url.searchParams.get('after') ?? 0));
    if (verb === 'GET /stored') return await answerStored(ports, Number(url.searchParams.get('after') ?? 0));
    if (verb === 'GET /changes') return await answerChanges(ports, url.searchParams);
    if (verb === 'GET /store') return { status: 200, body: { ...(await ports.host.storeSize()) } };
    if (verb === 'GET /audit') return { status: 200, body: { ...(await audit()) } };
    if (verb === 'GET /clock') return { status: 200, body: { ...ports.time.state() } };
    if (verb === 'POST /clock') return { status: 200, body: { ...(await acceptClock(ports)) } };
    if (verb === 'GET /status') return { status: 200, body: await status() };
    if (verb === 'POST /collect') return { status: 200, body: { ...(await collect()) } };
    if (url.pathname === '/accounts') return await answerAccounts(ports, request.method ?? '', url.searchParams);
    if (verb === 'POST /keys') return await answerKeys(ports, url.searchParams.get('replace') ?? '');
    return { status: 404, body: { message: `this server does not know "${verb}"` } };
  } catch (error) {
    if (error instanceof DomainError) return { status: 400, body: { message: inWords(error.failure) } };
    if (error instanceof AmbiguousNameError) return { status: 400, body: { message: error.message } };
    ports.log.error('an operator request failed', { url: request.url, error });
    return { status: 500, body: { message: describeError(error) } };
  }
}

async function answerStored(ports: ControlPorts, after: number): Promise<Reply> {
  if (!Number.isSafeInteger(after) || after < 0)
    return { status: 400, body: { message: 'after is no number of a row' } };
  const { snapshots, next } = await storedSnapshots(ports, after);
  return { status: 200, body: { stored: snapshots, next } };
}

async function answerGrants(ports: ControlPorts, method: string, query: URLSearchParams): Promise<Reply> {
  const name = query.get('name');
  if (method === 'POST') {
    const ttlMs = query.get('ttlMs');
    if (ttlMs !== null && !/^[1-9][0-9]{0,14}$/.test(ttlMs)) {
      return { status: 400, body: { message: `${ttlMs} is no number of milliseconds` } };
    }
    return { status: 200, body: { ...(await grantAccess(ports, name ?? '', ttlMs === null ? null : Number(ttlMs))) } };
  }
  if (method === 'GET') return { status: 200, body: { grants: await grantsOf(ports, name) } };
  if (method === 'DELETE') {
    return { status: 200, body: { revoked: await ports.host.revokeGrant(query.get('id') ?? '') } };
  }
  return { status: 404, body: { message: `this server does not know "${method} /grants"` } };
}

function inWords(failure: Failure): string {
  if (failure.kind === 'not-found' && failure.resource === 'instance') return `there is no instance "${failure.id}"`;
  if (failure.kind === 'wrong-state' && failure.resource === 'instance') {
    return `the instance ${failure.id} does not run: it is ${failure.state}`;
  }
  if (failure.kind === 'not-found') {
    return `there is no disk, volume or snapshot "${failure.id}"; "varve volumes" and "varve snapshots" show what there is`;
  }
  if (failure.kind === 'wrong-state') return `${failure.id} cannot be served now: it is ${failure.state}`;
  if (failure.kind === 'key-unusable') return `its KMS key ${failure.key} cannot be used: ${failure.problem}`;
  return `refused: ${failure.kind}`;
}

function send(response: ServerResponse, reply: Reply): void {
  const body = `${JSON.stringify(reply.body)}\n`;
  response.writeHead(reply.status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

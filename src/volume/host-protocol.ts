import type { Encryption } from '#domain/encryption.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { OutpostId } from '#domain/outpost.ts';

import type {
  ChangedBlock,
  CollectReport,
  CopyJob,
  HydrationStatus,
  NbdAccess,
  NbdClients,
  SnapshotBlock,
  SnapshotLabel,
  SnapshotSize,
  StoreSize,
  UploadJob,
  UploadProgress,
  UploadResult,
  VolumeHost,
  VolumeHostErrorKind,
  VolumeSpec,
  VolumeStatus,
  WarmStatus,
} from './host.ts';
import {
  accountId,
  count,
  cutId,
  type Decode,
  DecodeError,
  exportId,
  flag,
  list,
  nbdGrant,
  nothing,
  nullable,
  oneOf,
  outpostId,
  record,
  regionName,
  snapshotId,
  table,
  text,
  volumeId,
} from './host-decode.ts';

/**
 * What crosses the seam between control and the volume host, one table row per verb of VolumeHost.
 *
 *   control → host   {hello}                        host → control   {hello}
 *                    {id, verb, params} [payload]                    {id, value} [payload]
 *                    {id, abort: true}                               {id, error: {kind, message}}
 *
 * Answers come in any order. `hello` and the verb `stop` keep their form in every version, so that any control can
 * replace any host. `stop` and `configure` are the process's, not the VolumeHost's: see HostServer. Raise HOST_PROTOCOL_VERSION with every other change of form or meaning.
 */
export const HOST_PROTOCOL_VERSION = 11;

export interface Hello {
  readonly varve: 'volume-host' | 'control';
  readonly version: number;
  /** The program's version: another build may know other formats on disk. */
  readonly build: string;
  /** The settings that the host was started with, or took up since, one text to compare. */
  readonly settings: string;
  readonly pid: number;
}

export const hello: Decode<Hello> = record<Hello>({
  varve: oneOf(['volume-host', 'control']),
  version: count,
  build: text,
  settings: text,
  pid: count,
});

/** Entries of a list in one answer: the largest entry, with two keys, times this stays under half a frame. */
export const BLOCKS_PER_ANSWER_MAX = 2500;
/** Volumes that one `status` asks for. */
export const VOLUMES_PER_STATUS_MAX = 2000;
/** Volumes that one `collect` names: their ids fill most of a frame. */
export const VOLUMES_PER_COLLECT_MAX = 40_000;

/** A value and, for readBlock, bytes beside it. */
export interface Answer {
  readonly value: unknown;
  readonly payload: Uint8Array | null;
}

export interface Verb<P, R> {
  readonly name: string;
  /** A later control waits for it before it is served: it must not take effect after that control's own calls. */
  readonly settlesFirst: boolean;
  readonly result: (value: unknown, payload: Buffer | null) => R;
  /** Decodes the parameters and calls the host. Throws DecodeError before anything was done. */
  readonly run: (host: VolumeHost, params: unknown, payload: Buffer | null, signal: AbortSignal) => Promise<Answer>;
  /** Only for inference: what `params` are on the client's side. */
  readonly params: Decode<P>;
}

function verb<P, R>(
  name: string,
  options: { readonly settlesFirst: boolean },
  params: Decode<P>,
  result: Decode<R>,
  call: (host: VolumeHost, params: P, signal: AbortSignal) => Promise<R>,
): Verb<P, R> {
  return {
    name,
    settlesFirst: options.settlesFirst,
    params,
    result: (value) => result(value, name),
    run: async (host, raw, _payload, signal) => {
      const value = await call(host, params(raw, name), signal);
      return { value: value ?? null, payload: null };
    },
  };
}

const CHANGES = { settlesFirst: true };
const READS = { settlesFirst: false };

const plainLabel = record<Omit<SnapshotLabel, 'name' | 'volumeName' | 'encryption' | 'outpost'>>({
  snapshot: snapshotId,
  account: accountId,
  region: regionName,
  volume: volumeId,
  sizeBytes: count,
  description: text,
  startedAtMs: count,
  tags: table(text, text),
  parent: nullable(snapshotId),
});

const labelNames = record<{ name: string | null; volumeName: string | null }>({
  name: (value, path) => (value === undefined ? null : text(value, path)),
  volumeName: (value, path) => (value === undefined ? null : text(value, path)),
});
const encryption = record<{ encryption: Encryption | null }>({
  encryption: (value, path) =>
    value === undefined ? null : record<Encryption>({ keyArn: text, dataKeyId: text, sealedKey: text })(value, path),
});
const place = record<{ outpost: OutpostId | null }>({
  outpost: (value, path) => (value === undefined ? null : outpostId(value, path)),
});
const label: Decode<SnapshotLabel> = (value, path) => {
  const { name, volumeName } = labelNames(value, path);
  const { encryption: encrypted } = encryption(value, path);
  const { outpost } = place(value, path);
  return {
    ...plainLabel(value, path),
    ...(name === null ? {} : { name }),
    ...(volumeName === null ? {} : { volumeName }),
    ...(encrypted === null ? {} : { encryption: encrypted }),
    ...(outpost === null ? {} : { outpost }),
  };
};

const dataKey: Decode<string | null> = (value, path) => (value === undefined ? null : nullable(text)(value, path));

const uploadJob = record<UploadJob>({
  label,
  cut: cutId,
  epoch: count,
  base: nullable(record({ snapshot: snapshotId, epoch: count })),
  keepZeroChunks: flag,
});

const uploadResult = record<UploadResult>({ fullBytes: count, changedBytes: count, storedBytes: count });
const socket = record({ socketPath: text });
const volumeAndGeneration = record({ volume: volumeId, generation: count });
const snapshotAndKey = record({ snapshot: snapshotId, dataKey });
const blockAt = record({ snapshot: snapshotId, index: count, dataKey });
const page = <T extends object>(block: Decode<T>) => record({ blocks: list(block), next: nullable(count) });
const snapshotBlock = record<SnapshotBlock>({ index: count, key: text });
const changedBlock = record<ChangedBlock>({ index: count, firstKey: nullable(text), secondKey: nullable(text) });

export const VERBS = {
  create: verb(
    'create',
    CHANGES,
    record<VolumeSpec>({
      volume: volumeId,
      account: accountId,
      sizeBytes: count,
      origin: nullable(snapshotId),
      hydrationBytesPerSecond: (value, path) => (value === undefined ? null : nullable(count)(value, path)),
      dataKey,
    }),
    nothing,
    (host, spec) => host.create(spec),
  ),
  open: verb('open', CHANGES, record({ volume: volumeId, generation: count, dataKey }), socket, (host, p) =>
    host.open(p.volume, p.generation, p.dataKey),
  ),
  close: verb('close', CHANGES, volumeAndGeneration, nothing, (host, p) => host.close(p.volume, p.generation)),
  grow: verb('grow', CHANGES, record({ volume: volumeId, sizeBytes: count }), nothing, (host, p) =>
    host.grow(p.volume, p.sizeBytes),
  ),
  destroy: verb('destroy', CHANGES, record({ volume: volumeId }), nothing, (host, p) => host.destroy(p.volume)),
  status: verb(
    'status',
    READS,
    record({ volumes: list(volumeId) }),
    list(
      record<VolumeStatus>({
        volume: volumeId,
        socketPath: text,
        clientCount: count,
        epoch: count,
        slotBytes: count,
        encrypted: flag,
        failure: nullable(text),
        hydration: nullable(
          record<HydrationStatus>({
            state: oneOf(['hydrating', 'waiting', 'hydrated', 'off']),
            reason: nullable(text),
            presentBytes: count,
            totalBytes: count,
            bytesPerSecond: count,
            bytesPerSecondMax: count,
            isOwnRate: flag,
            remainingSeconds: nullable(count),
            detached: flag,
          }),
        ),
      }),
    ),
    (host, p) => host.status(p.volumes),
  ),
  cut: verb(
    'cut',
    CHANGES,
    record({ volumes: list(volumeId), cut: cutId }),
    list(record({ volume: volumeId, epoch: count })),
    (host, p) => host.cut(p.volumes, p.cut),
  ),
  upload: verb('upload', READS, uploadJob, uploadResult, (host, job, signal) => host.upload(job, signal)),
  copySnapshot: verb(
    'copySnapshot',
    READS,
    record<CopyJob>({ label, source: snapshotId, dataKey, sourceDataKey: dataKey }),
    uploadResult,
    (host, job, signal) => host.copySnapshot(job, signal),
  ),
  progress: verb(
    'progress',
    READS,
    record({}),
    table(snapshotId, record<UploadProgress>({ doneBytes: count, totalBytes: count })),
    (host) => host.progress(),
  ),
  archiveSnapshot: verb('archiveSnapshot', READS, snapshotAndKey, count, (host, p, signal) =>
    host.archiveSnapshot(p.snapshot, signal, p.dataKey),
  ),
  unarchiveSnapshot: verb('unarchiveSnapshot', READS, snapshotAndKey, nothing, (host, p, signal) =>
    host.unarchiveSnapshot(p.snapshot, signal, p.dataKey),
  ),
  deleteArchive: verb('deleteArchive', CHANGES, record({ snapshot: snapshotId }), nothing, (host, p) =>
    host.deleteArchive(p.snapshot),
  ),
  release: verb('release', CHANGES, record({ volume: volumeId, cut: cutId }), nothing, (host, p) =>
    host.release(p.volume, p.cut),
  ),
  openSnapshot: verb('openSnapshot', READS, snapshotAndKey, socket, (host, p) =>
    host.openSnapshot(p.snapshot, p.dataKey),
  ),
  warmSnapshot: verb(
    'warmSnapshot',
    CHANGES,
    snapshotAndKey,
    record<WarmStatus>({ isWarm: flag, trouble: nullable(text) }),
    (host, p) => host.warmSnapshot(p.snapshot, p.dataKey),
  ),
  coolSnapshot: verb('coolSnapshot', CHANGES, record({ snapshot: snapshotId }), nothing, (host, p) =>
    host.coolSnapshot(p.snapshot),
  ),
  clients: verb(
    'clients',
    READS,
    record({}),
    record<NbdClients>({ connectionCount: count, exportCount: count }),
    (host) => host.clients(),
  ),
  issueGrant: verb(
    'issueGrant',
    CHANGES,
    record({ exportId, ttlMs: nullable(count) }),
    record<NbdAccess>({ grant: nbdGrant, key: text, host: text, port: count }),
    (host, p) => host.issueGrant(p.exportId, p.ttlMs),
  ),
  grants: verb('grants', READS, record({ exportId: nullable(exportId) }), list(nbdGrant), (host, p) =>
    host.grants(p.exportId),
  ),
  revokeGrant: verb('revokeGrant', CHANGES, record({ grantId: text }), flag, (host, p) => host.revokeGrant(p.grantId)),
  deleteSnapshot: verb('deleteSnapshot', CHANGES, record({ snapshot: snapshotId }), nothing, (host, p) =>
    host.deleteSnapshot(p.snapshot),
  ),
  snapshotSizes: verb(
    'snapshotSizes',
    READS,
    record({ snapshots: list(snapshotId) }),
    list(
      record<SnapshotSize>({
        snapshot: snapshotId,
        fullBytes: count,
        newBytes: count,
        exclusiveBytes: count,
        sharedBytes: count,
      }),
    ),
    (host, p) => host.snapshotSizes(p.snapshots),
  ),
  freedBytes: verb(
    'freedBytes',
    READS,
    record({ snapshots: list(snapshotId) }),
    record({ bytes: count }),
    async (host, p) => ({ bytes: await host.freedBytes(p.snapshots) }),
  ),
  storeSize: verb(
    'storeSize',
    READS,
    record({}),
    record<StoreSize>({ snapshotCount: count, storedBytes: count, neededBytes: count, fullBytes: count }),
    (host) => host.storeSize(),
  ),
  listBlocks: verb(
    'listBlocks',
    READS,
    record({ snapshot: snapshotId, start: count, countMax: count }),
    page(snapshotBlock),
    (host, p) => host.listBlocks(p.snapshot, p.start, Math.min(p.countMax, BLOCKS_PER_ANSWER_MAX)),
  ),
  changedBlocks: verb(
    'changedBlocks',
    READS,
    record({ first: snapshotId, second: snapshotId, start: count, countMax: count }),
    page(changedBlock),
    (host, p) => host.changedBlocks(p.first, p.second, p.start, Math.min(p.countMax, BLOCKS_PER_ANSWER_MAX)),
  ),
  readBlock: {
    name: 'readBlock',
    settlesFirst: false,
    params: blockAt,
    result: (value, payload) => {
      const found = nullable(record({ key: text }))(value, 'readBlock');
      if (found === null) return null;
      if (payload?.length !== CHUNK_BYTES) throw new DecodeError('readBlock did not come with a whole chunk');
      return { key: found.key, bytes: payload };
    },
    run: async (host, raw) => {
      const at = blockAt(raw, 'readBlock');
      const found = await host.readBlock(at.snapshot, at.index, at.dataKey);
      return found === null ? { value: null, payload: null } : { value: { key: found.key }, payload: found.bytes };
    },
  } satisfies Verb<
    { snapshot: unknown; index: number; dataKey: string | null },
    Awaited<ReturnType<VolumeHost['readBlock']>>
  >,
  writeBlock: {
    name: 'writeBlock',
    settlesFirst: true,
    params: record({ volume: volumeId, generation: count, index: count }),
    result: (value) => nothing(value, 'writeBlock'),
    run: async (host, raw, payload) => {
      const to = record({ volume: volumeId, generation: count, index: count })(raw, 'writeBlock');
      if (payload?.length !== CHUNK_BYTES) throw new DecodeError('writeBlock did not come with a whole chunk');
      await host.writeBlock(to.volume, to.generation, to.index, payload);
      return { value: null, payload: null };
    },
  } satisfies Verb<unknown, void>,
  collect: verb(
    'collect',
    READS,
    record({ volumes: list(volumeId) }),
    record<CollectReport>({ liveChunks: count, deletedChunks: count, freedBytes: count }),
    (host, p, signal) => host.collect(p.volumes, signal),
  ),
};

/** A row of VERBS by a name that came over the wire; null for none. */
export function verbNamed(name: string): Verb<unknown, unknown> | null {
  const rows: ReadonlyMap<string, Verb<unknown, unknown>> = ROWS;
  return rows.get(name) ?? null;
}

const ROWS = new Map<string, Verb<unknown, unknown>>(Object.entries(VERBS));

const errorKinds = oneOf<VolumeHostErrorKind>([
  'volume-not-found',
  'snapshot-not-found',
  'fenced',
  'in-use',
  'no-space',
  'key-needed',
  'damaged',
  'aborted',
  'unavailable',
  'internal',
]);

/** Asks the process to take up settings (LiveSettings) that it can without a restart. */
export const CONFIGURE = 'configure';
export const configuration = record({ settings: text });

/** control → host. `stop` and `configure` are requests like the others that only the process answers. */
export type Request =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'call'; readonly id: number; readonly verb: string; readonly params: unknown };

export function decodeRequest(header: unknown): Request {
  const fields = table(text, (value) => value)(header, 'request');
  if ('hello' in fields) return { kind: 'hello', hello: hello(fields['hello'], 'hello') };
  const id = count(fields['id'], 'id');
  if ('abort' in fields) return { kind: 'abort', id };
  return { kind: 'call', id, verb: text(fields['verb'], 'verb'), params: fields['params'] ?? null };
}

/** host → control. */
export type Response =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'value'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: { kind: VolumeHostErrorKind; message: string } };

const errorShape = record<{ kind: VolumeHostErrorKind; message: string }>({ kind: errorKinds, message: text });

export function decodeResponse(header: unknown): Response {
  const fields = table(text, (value) => value)(header, 'response');
  if ('hello' in fields) return { kind: 'hello', hello: hello(fields['hello'], 'hello') };
  const id = count(fields['id'], 'id');
  if ('error' in fields) return { kind: 'error', id, error: errorShape(fields['error'], 'error') };
  return { kind: 'value', id, value: fields['value'] ?? null };
}

import type { Encryption } from '#domain/encryption.ts';
import type { AccountId, CutId, Epoch, Generation, RegionName, SnapshotId, VolumeId } from '#domain/ids.ts';
import type { OutpostId } from '#domain/outpost.ts';

/** What a volume is made from. */
export interface VolumeSpec {
  readonly volume: VolumeId;
  /** Equal content is shared, and chunk keys are comparable, within one account only. */
  readonly account: AccountId;
  readonly sizeBytes: number;
  /** Restored from this completed snapshot, of the same account, not larger than the volume; null: all zeros. */
  readonly origin: SnapshotId | null;
  /** At most so much of the origin is fetched in the background, whatever the host is set to, and without waiting for others; null or missing: as the host is set. */
  readonly hydrationBytesPerSecond?: number | null;
  /** 32 bytes in base64, without which the volume is never opened: its data file is encrypted. Null or missing: as the host is set. */
  readonly dataKey?: string | null;
}

/** What the manifest of a snapshot says beside its chunks; enough to find and restore it from the object store alone. */
export interface SnapshotLabel {
  readonly snapshot: SnapshotId;
  /** What people call it, and the disk: Lightsail's names, or the volume's tag Name. Not there: nothing. */
  readonly name?: string;
  readonly volumeName?: string;
  readonly account: AccountId;
  readonly region: RegionName;
  readonly volume: VolumeId;
  readonly sizeBytes: number;
  readonly description: string;
  readonly startedAtMs: number;
  readonly tags: Readonly<Record<string, string>>;
  /** The snapshot that this one is an increment of, as users see it; null for the first. */
  readonly parent: SnapshotId | null;
  /** The KMS key that it is encrypted with, and the data key that this one seals; not there: none. */
  readonly encryption?: Encryption;
  /** The Outpost in whose store it is; not there: it is in the region's. */
  readonly outpost?: OutpostId;
}

export interface UploadJob {
  readonly label: SnapshotLabel;
  readonly cut: CutId;
  readonly epoch: Epoch;
  /** An earlier completed snapshot of the same volume whose chunks need not be looked at again. Null: the volume's origin, or everything. */
  readonly base: { readonly snapshot: SnapshotId; readonly epoch: Epoch } | null;
  /** Keep chunks of zeros that were written as data (EBS direct lists them); otherwise they are left out. */
  readonly keepZeroChunks: boolean;
}

/** A snapshot that is to hold what another one does. */
export interface CopyJob {
  /** Of the copy; perhaps of another account or region than the source. Its size is the source's. */
  readonly label: SnapshotLabel;
  /** Completed. */
  readonly source: SnapshotId;
  /** Without which nothing of the copy's content is ever read. What the source has without it, or under another one, is sealed again. */
  readonly dataKey?: string | null;
  /** Of the source. */
  readonly sourceDataKey?: string | null;
}

export interface UploadResult {
  /** Bytes of all chunks that the snapshot holds, 512 KiB each: EC2's FullSnapshotSizeInBytes. */
  readonly fullBytes: number;
  /** Bytes of the chunks that differ from the base. */
  readonly changedBytes: number;
  /** What the object store grew by for it: packs, without the manifest. */
  readonly storedBytes: number;
}

export interface UploadProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface SnapshotBlock {
  readonly index: number;
  /** Content address, hex: equal within an account exactly when the content is equal. */
  readonly key: string;
}

export interface ChangedBlock {
  readonly index: number;
  /** Null: the snapshot holds nothing there (zeros). */
  readonly firstKey: string | null;
  readonly secondKey: string | null;
}

export interface CollectReport {
  readonly liveChunks: number;
  readonly deletedChunks: number;
  readonly freedBytes: number;
}

/** In bytes. What a snapshot needs in the store is `exclusive` and `shared` together. */
export interface SnapshotSize {
  readonly snapshot: SnapshotId;
  /** Of all chunks that it holds, 512 KiB each. */
  readonly fullBytes: number;
  /** What the store grew by when it was made. */
  readonly newBytes: number;
  /** What deleting it would free now: records that only it needs, and its manifest. */
  readonly exclusiveBytes: number;
  /** Of records that something else needs, too. */
  readonly sharedBytes: number;
}

/** In bytes, over all snapshots of all accounts. */
export interface StoreSize {
  readonly snapshotCount: number;
  /** Of everything in the store. */
  readonly storedBytes: number;
  /** Of what is needed; collections give the rest back. */
  readonly neededBytes: number;
  /** What the snapshots hold, each for itself. */
  readonly fullBytes: number;
}

export type HydrationState =
  /** Chunks are being fetched. */
  | 'hydrating'
  /** Something is in the way; it goes on by itself. */
  | 'waiting'
  /** All is here: nothing is read through any more, and the snapshot may go once no cut is pending. */
  | 'hydrated'
  /** Not asked for. Chunks come when they are read. */
  | 'off';

/** How much of what a volume was made from has come into its own files. */
export interface HydrationStatus {
  readonly state: HydrationState;
  /** Why it waits; null otherwise. */
  readonly reason: string | null;
  /** Of what the origin holds, 512 KiB a chunk: what is here, or was written over. Counted from 0 while a volume that was opened again is looked through. */
  readonly presentBytes: number;
  readonly totalBytes: number;
  /** Of the last seconds. */
  readonly bytesPerSecond: number;
  /** At most, by the volume's own setting or the host's; 0: it is off. */
  readonly bytesPerSecondMax: number;
  /** Whether that is the volume's own setting. */
  readonly isOwnRate: boolean;
  /** Until all is here, by the rate of the last seconds, or, while there is none, at the most; null: it is off, so never. */
  readonly remainingSeconds: number | null;
  /** It needs the snapshot no more: what that held may be collected. Some time after all is here. */
  readonly detached: boolean;
}

export interface VolumeStatus {
  readonly volume: VolumeId;
  readonly socketPath: string;
  readonly clientCount: number;
  readonly epoch: Epoch;
  /** Bytes of the slots that the volume holds in its data file. */
  readonly slotBytes: number;
  /** Its data file is. */
  readonly encrypted: boolean;
  /** Why every request fails since a sync of its files did, until it is opened again; null: it serves. */
  readonly failure: string | null;
  /** Null: it was made from nothing. */
  readonly hydration: HydrationStatus | null;
}

/** Leave to open one volume or snapshot over TCP, for whoever has its key. */
export interface NbdGrant {
  /** `<export>.<16 hex digits>`: the TLS-PSK identity that the client shows. Not secret. */
  readonly id: string;
  readonly exportId: VolumeId | SnapshotId;
  readonly issuedAtMs: number;
  /** New connections are refused from then on; null: never. */
  readonly expiresAtMs: number | null;
}

/** A grant, its key, and where to use it. */
export interface NbdAccess {
  readonly grant: NbdGrant;
  /** The TLS pre-shared key, 32 bytes in hex. Secret. */
  readonly key: string;
  /** As the host listens: perhaps an address that stands for all of the machine's. */
  readonly host: string;
  readonly port: number;
}

/** Whether all that a snapshot holds is ready where volumes are. */
export interface WarmStatus {
  readonly isWarm: boolean;
  /** Why it was not made so at the last try, which is repeated; null: there was none, or nothing is in the way. */
  readonly trouble: string | null;
}

/** Who is connected over NBD, by whatever way. */
export interface NbdClients {
  readonly connectionCount: number;
  /** Volumes and snapshots that are open over them. */
  readonly exportCount: number;
}

export type VolumeHostErrorKind =
  | 'volume-not-found'
  | 'snapshot-not-found'
  | 'fenced' // a newer generation owns the volume
  | 'in-use' // NBD clients are connected
  | 'no-space'
  | 'key-needed' // what is to be read is sealed under a data key that was not given
  | 'damaged' // stored bytes fail their check; the message names what
  | 'aborted'
  | 'unavailable' // the host is not reachable; the call may or may not have happened
  | 'internal';

/** Trouble in the data plane. `retryable`: every verb may be repeated as it is, and only these may succeed. */
export class VolumeHostError extends Error {
  override readonly name = 'VolumeHostError';
  readonly kind: VolumeHostErrorKind;

  constructor(kind: VolumeHostErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }

  get retryable(): boolean {
    return this.kind === 'unavailable' || this.kind === 'no-space' || this.kind === 'internal';
  }
}

/**
 * The data plane as the control plane sees it. Plain values only, so it can be another process; volume bytes cross only
 * for the EBS direct API. Every verb is idempotent: repeating it after a lost answer is safe. Errors: VolumeHostError.
 *
 * Verbs that read or write the content of snapshots take their data keys (32 bytes in base64; null or missing: none). The host
 * keeps them in memory while it needs them. `key-needed`: one that was needed was not given.
 */
export interface VolumeHost extends AsyncDisposable {
  /** Makes the volume's directory; durable. Nothing happens when it is there already. */
  create(spec: VolumeSpec): Promise<void>;
  /** Recovers the volume and serves it over NBD. Fences every older generation first; the same generation again answers the same socket, and recovers a volume that failed. */
  open(
    volume: VolumeId,
    generation: Generation,
    /** As at its creation; kept in memory while it is open. `damaged` when it is another one. */
    dataKey?: string | null,
  ): Promise<{ readonly socketPath: string }>;
  /** Stops serving, flushes. Older generations than the one open are ignored. */
  close(volume: VolumeId, generation: Generation): Promise<void>;
  /** Makes an open volume larger, a whole number of chunks; clients see it when they connect again. Not larger than it is already: nothing happens. */
  grow(volume: VolumeId, sizeBytes: number): Promise<void>;
  /** Gives back all that the volume holds. `in-use` while clients are connected. No error when there is none. */
  destroy(volume: VolumeId): Promise<void>;
  status(volumes: readonly VolumeId[]): Promise<readonly VolumeStatus[]>;
  /** Ends the epoch of all volumes at one instant; durable when it resolves. A cut id that happened answers what it answered then. */
  cut(
    volumes: readonly VolumeId[],
    cut: CutId,
  ): Promise<readonly { readonly volume: VolumeId; readonly epoch: Epoch }[]>;
  /** Writes what changed and, last, the manifest, under the volume's data key if it has one. Joins the upload of the same snapshot when one is running; answers at once when the manifest is there. Resumable: chunks stored earlier are found by their keys. */
  upload(job: UploadJob, signal: AbortSignal): Promise<UploadResult>;
  /** Copies a completed snapshot. Joins, answers and goes on as `upload` does; `deleteSnapshot` of the copy ends it. A source that is deleted while it is read is read to its end. */
  copySnapshot(job: CopyJob, signal: AbortSignal): Promise<UploadResult>;
  /** Of the uploads and copies that run now. */
  progress(): Promise<Readonly<Record<SnapshotId, UploadProgress>>>;
  /** Writes a completed snapshot into the archive, where it shares nothing; the snapshot stays. Answers what it takes there, in bytes; at once when it is there. `progress` tells how far it is. */
  archiveSnapshot(snapshot: SnapshotId, signal: AbortSignal, dataKey?: string | null): Promise<number>;
  /** Makes a snapshot again of its archive, which stays; at once when the snapshot is there. Refuses: snapshot-not-found, when there is no archive. */
  unarchiveSnapshot(snapshot: SnapshotId, signal: AbortSignal, dataKey?: string | null): Promise<void>;
  /** No error when there is none. */
  deleteArchive(snapshot: SnapshotId): Promise<void>;
  /** The cut is not needed any more (uploaded, or given up): its slots can be used again. Ends an upload of it first. */
  release(volume: VolumeId, cut: CutId): Promise<void>;
  /** Serves a completed snapshot read-only over NBD. Its data key is kept in memory while it is open. */
  openSnapshot(snapshot: SnapshotId, dataKey?: string | null): Promise<{ readonly socketPath: string }>;
  /**
   * Makes a completed snapshot ready, so that what is made from it waits for no bucket: all of it was fetched and verified,
   * and stays so, also across restarts. Begins, or goes on, and answers at once; asked again, it tells.
   */
  warmSnapshot(snapshot: SnapshotId, dataKey?: string | null): Promise<WarmStatus>;
  /** The snapshot need not be ready any more. Its deletion has the same effect. */
  coolSnapshot(snapshot: SnapshotId): Promise<void>;
  /** Of all volumes and snapshots. */
  clients(): Promise<NbdClients>;
  /** Lets who gets the answer open one volume or snapshot over TCP, for `ttlMs` or (null) until it is revoked; durable. Refuses, as `internal`, when the host does not listen on TCP. */
  issueGrant(exportId: VolumeId | SnapshotId, ttlMs: number | null): Promise<NbdAccess>;
  /** Grants that can be used now: of one export, or (null) all. */
  grants(exportId: VolumeId | SnapshotId | null): Promise<readonly NbdGrant[]>;
  /** Ends a grant: cuts who came in by it, and lets nobody in any more, also after a crash. False: there was none. */
  revokeGrant(grantId: string): Promise<boolean>;
  /** Removes the manifest: the commit point of a deletion. Volumes restored from it keep what they read through. */
  deleteSnapshot(snapshot: SnapshotId): Promise<void>;
  /** Exact sizes of those of the snapshots that are completed and whole; at most a thousand. */
  snapshotSizes(snapshots: readonly SnapshotId[]): Promise<readonly SnapshotSize[]>;
  /** Bytes that deleting all of these snapshots together would free, at most a thousand; those that are not there count nothing. */
  freedBytes(snapshots: readonly SnapshotId[]): Promise<number>;
  storeSize(): Promise<StoreSize>;
  /** Chunks that the snapshot holds, in the order of their index, from `start`, at most `countMax`; `next` is where to go on, or null. */
  listBlocks(
    snapshot: SnapshotId,
    start: number,
    countMax: number,
  ): Promise<{ readonly blocks: readonly SnapshotBlock[]; readonly next: number | null }>;
  /** Chunks that differ between two snapshots of one account, as `listBlocks`. `first` null: everything in `second`. */
  changedBlocks(
    first: SnapshotId,
    second: SnapshotId,
    start: number,
    countMax: number,
  ): Promise<{ readonly blocks: readonly ChangedBlock[]; readonly next: number | null }>;
  /** The 512 KiB of one chunk, verified; null when the snapshot holds nothing there. */
  readBlock(
    snapshot: SnapshotId,
    index: number,
    dataKey?: string | null,
  ): Promise<{ readonly key: string; readonly bytes: Uint8Array } | null>;
  /** Writes one whole chunk of a volume that is open in this generation (an EBS direct snapshot being made). */
  writeBlock(volume: VolumeId, generation: Generation, index: number, bytes: Uint8Array): Promise<void>;
  /**
   * Deletes chunks that no manifest, volume or upload needs. `volumes`: all that exist and have an origin, drafts too. When
   * one of them is not on disk, or what is on disk of any volume does not read, nothing is deleted: what it reads through
   * to is not known. Refuses: volume-not-found, damaged.
   */
  collect(volumes: readonly VolumeId[], signal: AbortSignal): Promise<CollectReport>;
}

import type { DocumentTable } from './document-table.ts';
import type { AccountId, Epoch, ResourceId, SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import type { Snapshot, SnapshotState } from '#domain/snapshot.ts';
import type { Face, Scope, Volume, VolumeState } from '#domain/volume.ts';

/**
 * Where intent is recorded: resources, names, tokens, operations. One serialisable transaction at a time, in the order in
 * which they were asked for; durable when `transact` resolves.
 *
 * The body has no side effects beyond `tx` and awaits nothing but `tx` (it may be run again on an engine that retries).
 * When it throws, nothing of it happened, and the error comes out as it is.
 */
export interface MetaStore extends AsyncDisposable {
  transact<R>(body: (tx: Tx) => Promise<R>): Promise<R>;
  /** A body that only reads; it sees one state of the whole. */
  read<R>(body: (tx: ReadTx) => Promise<R>): Promise<R>;
  /** What was removed or replaced before this call is in no file of the store any more when it resolves. */
  purge(): Promise<void>;
}

/** The database cannot be used: another server has it, it is newer than this program, or it is damaged. The message names the file and says what to do. */
export class MetaStoreError extends Error {
  override readonly name = 'MetaStoreError';
}

export interface ReadTx {
  readonly accounts: Pick<AccountTable, 'find' | 'list' | 'findKey' | 'keysOf'>;
  readonly volumes: Pick<VolumeTable, 'find' | 'list' | 'inState' | 'count' | 'provisionedIops' | 'named'>;
  readonly snapshots: Pick<
    SnapshotTable,
    | 'find'
    | 'list'
    | 'inState'
    | 'tiered'
    | 'ofVolume'
    | 'unreleased'
    | 'count'
    | 'countPending'
    | 'countCopies'
    | 'isCopied'
    | 'countStaging'
    | 'countDirect'
    | 'named'
  >;
  readonly names: Pick<NameTable, 'find' | 'list'>;
  readonly operations: Pick<OperationTable, 'find' | 'list' | 'ofSubject' | 'openOf'>;
  readonly tokens: Pick<TokenTable, 'find'>;
  readonly blocks: Pick<BlockTable, 'count' | 'list'>;
  readonly settings: Pick<SettingTable, 'get'>;
  readonly documents: Pick<DocumentTable, 'find' | 'list' | 'everywhere' | 'all' | 'count'>;
}

export interface Tx extends ReadTx {
  readonly accounts: AccountTable;
  readonly volumes: VolumeTable;
  readonly snapshots: SnapshotTable;
  readonly names: NameTable;
  readonly operations: OperationTable;
  readonly tokens: TokenTable;
  readonly blocks: BlockTable;
  readonly settings: SettingTable;
  readonly documents: DocumentTable;
}

/** Where a record stands in the order of creation; grows, and is never used again. */
export type Sequence = number;

export interface Row<R> {
  readonly sequence: Sequence;
  readonly record: R;
}

/** A part of a list, in the order of creation, after a row that may be gone meanwhile. */
export interface Page {
  /** 0: from the beginning. */
  readonly after: Sequence;
  readonly countMax: number;
}

export interface Account {
  readonly id: AccountId;
  readonly alias: string | null;
  readonly createdAtMs: number;
}

export interface KeyRecord {
  readonly id: string;
  readonly secret: string;
  readonly account: AccountId;
  readonly createdAtMs: number;
}

export interface AccountTable {
  find(id: AccountId): Promise<Account | null>;
  /** In the order of creation. */
  list(): Promise<readonly Account[]>;
  insert(account: Account): Promise<void>;
  findKey(id: string): Promise<KeyRecord | null>;
  insertKey(key: KeyRecord): Promise<void>;
  /** Keys of the account's root, the oldest first. */
  keysOf(account: AccountId): Promise<readonly KeyRecord[]>;
  /** No error when there is none. */
  removeKey(id: string): Promise<void>;
}

/** Of the resources that clients list: drafts, and what is `cutting` or `deleting`, are left out. */
export interface ListFilter {
  readonly scope: Scope;
  /** Null: of both faces. */
  readonly face: Face | null;
  /** Only resources that have a tag. */
  readonly tagged?: boolean;
  /** Those in the recycle bin, instead of the others. */
  readonly binned?: boolean;
}

/** Tags by which volumes and snapshots are found. */
export interface TagSearch {
  readonly kind: 'tag';
  readonly key: string;
  /** Null: whatever it is. */
  readonly value: string | null;
}

/** By what a list of snapshots is searched instead of gone through. */
export type SnapshotSearch =
  | TagSearch
  | { readonly kind: 'id'; readonly id: SnapshotId }
  | { readonly kind: 'volume'; readonly volume: VolumeId }
  | { readonly kind: 'state'; readonly state: SnapshotState }
  /** Whoever owns them: those of the filter's region that are shared with an account, or with everybody. */
  | { readonly kind: 'shared-with'; readonly grantee: AccountId | 'all' };

export interface VolumeTable {
  /** Whosever it is, in any state. */
  find(id: VolumeId): Promise<Volume | null>;
  list(filter: ListFilter & { readonly search?: TagSearch | null }, page: Page): Promise<readonly Row<Volume>[]>;
  /** Of all accounts, drafts included. */
  inState(states: readonly VolumeState[], page: Page): Promise<readonly Row<Volume>[]>;
  /** Of all accounts and regions, by Lightsail's name or the tag Name; for the operator's tools. Drafts are left out. */
  named(name: string): Promise<readonly Volume[]>;
  /** Volumes and their size, drafts and what is being deleted left out. */
  count(scope: Scope): Promise<{ readonly count: number; readonly sizeGib: number }>;
  /** Of the same, IOPS of io1 and io2 together. Goes through all of them. */
  provisionedIops(scope: Scope): Promise<number>;
  insert(volume: Volume): Promise<void>;
  /** Replaces the record of the same id, which exists. */
  update(volume: Volume): Promise<void>;
  remove(id: VolumeId): Promise<void>;
}

export interface SnapshotTable {
  find(id: SnapshotId): Promise<Snapshot | null>;
  list(filter: ListFilter & { readonly search?: SnapshotSearch | null }, page: Page): Promise<readonly Row<Snapshot>[]>;
  inState(states: readonly SnapshotState[], page: Page): Promise<readonly Row<Snapshot>[]>;
  /** Of all accounts: those that are or were in the archive, or are on their way there. */
  tiered(page: Page): Promise<readonly Row<Snapshot>[]>;
  /** Of one volume in one state, the newest cut first; with `beforeEpoch`, only older cuts. Ones not cut yet come last. */
  ofVolume(
    volume: VolumeId,
    state: SnapshotState,
    beforeEpoch: Epoch | null,
    countMax: number,
  ): Promise<readonly Snapshot[]>;
  /** Of all accounts: those whose cut the host still keeps, in the order of creation; pending ones are among them. */
  unreleased(page: Page): Promise<readonly Row<Snapshot>[]>;
  /** As volumes; those that clients see. */
  named(name: string): Promise<readonly Snapshot[]>;
  /** What is being deleted left out. */
  count(scope: Scope): Promise<number>;
  /** `cutting` and `pending` ones. */
  countPending(scope: Scope): Promise<number>;
  /** Pending copies. */
  countCopies(scope: Scope): Promise<number>;
  /** Of those that `count` counts: pending ones that the server makes for volumes. */
  countStaging(scope: Scope): Promise<number>;
  /** Whether a pending copy of it, of any account, needs it still. */
  isCopied(id: SnapshotId): Promise<boolean>;
  /** Unsealed direct ones. */
  countDirect(scope: Scope): Promise<number>;
  insert(snapshot: Snapshot): Promise<void>;
  update(snapshot: Snapshot): Promise<void>;
  /** Raises the progress of a pending snapshot; never lowers it. */
  raiseProgress(id: SnapshotId, percent: number): Promise<void>;
  remove(id: SnapshotId): Promise<void>;
}

/** Lightsail's names: one holder in an account and region, whatever its kind. */
export interface NameTable {
  find(scope: Scope, name: string): Promise<ResourceId | null>;
  /** In the order in which they were taken. */
  list(scope: Scope, page: Page): Promise<readonly Row<string>[]>;
  /** False when somebody has it. */
  claim(scope: Scope, name: string, holder: ResourceId): Promise<boolean>;
  /** Nothing happens when another holds it. */
  free(scope: Scope, name: string, holder: ResourceId): Promise<void>;
}

export interface OperationTable {
  find(scope: Scope, id: string): Promise<Operation | null>;
  /** Oldest first; of one resource's name, or all. */
  list(scope: Scope, resourceName: string | null, page: Page): Promise<readonly Row<Operation>[]>;
  /** Those of the subject that have the type; oldest first. */
  ofSubject(subject: ResourceId, type: string): Promise<readonly Operation[]>;
  /** Those of the subject that have not ended. */
  openOf(subject: ResourceId): Promise<readonly Operation[]>;
  insert(operation: Operation): Promise<void>;
  update(operation: Operation): Promise<void>;
  removeOf(subject: ResourceId): Promise<void>;
  /** Ended ones whose status changed before then; answers how many went. */
  prune(beforeMs: number): Promise<number>;
}

export interface TokenRecord {
  /** Which use case: one token may be used for each. */
  readonly purpose: string;
  readonly token: string;
  /** SHA-256 of the request, hex. */
  readonly requestHash: string;
  /** What it made, or deleted. */
  readonly result: ResourceId;
  readonly createdAtMs: number;
}

export interface TokenTable {
  find(scope: Scope, purpose: string, token: string): Promise<TokenRecord | null>;
  insert(scope: Scope, record: TokenRecord): Promise<void>;
  remove(scope: Scope, purpose: string, token: string): Promise<void>;
  removeOf(result: ResourceId): Promise<void>;
  prune(beforeMs: number): Promise<number>;
}

/** Blocks that were put into an unsealed direct snapshot. */
export interface BlockTable {
  /** Puts or replaces. `sha256`: 32 bytes. */
  put(snapshot: SnapshotId, index: number, sha256: Uint8Array): Promise<void>;
  count(snapshot: SnapshotId): Promise<number>;
  /** In the order of the index, after `after` (-1: from the beginning). */
  list(
    snapshot: SnapshotId,
    after: number,
    countMax: number,
  ): Promise<readonly { readonly index: number; readonly sha256: Uint8Array }[]>;
  removeOf(snapshot: SnapshotId): Promise<void>;
}

export interface SettingTable {
  get(key: string): Promise<string | null>;
  put(key: string, value: string): Promise<void>;
}

import type { Generated } from 'kysely';

/**
 * The tables as of the newest migration; docs/formats/metadata.md says what each column means. Booleans are 0 and 1, times
 * milliseconds since 1970, tags a JSON object of strings.
 */
export interface Tables {
  schema_versions: SchemaVersionRow;
  accounts: AccountRow;
  access_keys: AccessKeyRow;
  volumes: VolumeRow;
  snapshots: SnapshotRow;
  volume_tags: TagRow;
  snapshot_tags: TagRow;
  snapshot_shares: ShareRow;
  tallies: TallyRow;
  names: NameRow;
  operations: OperationRow;
  tokens: TokenRow;
  blocks: BlockRow;
  settings: SettingRow;
  documents: DocumentRow;
}

export interface SchemaVersionRow {
  version: number;
  applied_at_ms: number;
}

export interface AccountRow {
  sequence: Generated<number>;
  id: string;
  alias: string | null;
  created_at_ms: number;
}

export interface AccessKeyRow {
  id: string;
  secret: string;
  account: string;
  created_at_ms: number;
}

export interface VolumeRow {
  sequence: Generated<number>;
  id: string;
  account: string;
  region: string;
  face: string;
  draft: number;
  name: string | null;
  zone: string;
  size_gib: number;
  type: string;
  iops: number | null;
  throughput_mibps: number | null;
  multi_attach: number;
  state: string;
  created_at_ms: number;
  origin: string | null;
  generation: number;
  lineage: string;
  tags: string;
  /** JSON: the VolumeDetails that are not as in NO_VOLUME_DETAILS. */
  details: string;
}

export interface SnapshotRow {
  sequence: Generated<number>;
  id: string;
  account: string;
  region: string;
  face: string;
  name: string | null;
  volume: string;
  volume_name: string | null;
  volume_size_gib: number;
  state: string;
  state_message: string | null;
  progress_percent: number;
  description: string;
  started_at_ms: number;
  completed_at_ms: number | null;
  cut: string;
  epoch: number | null;
  parent: string | null;
  full_bytes: number | null;
  changed_bytes: number | null;
  stored_bytes: number | null;
  direct: number;
  sealed: number;
  released: number;
  timeout_minutes: number | null;
  touched_at_ms: number | null;
  lineage: string;
  tags: string;
  /** JSON: the SnapshotDetails that are not as in NO_SNAPSHOT_DETAILS. */
  details: string;
}

/** Of volumes or of snapshots; written by triggers. */
export interface TagRow {
  account: string;
  region: string;
  key: string;
  value: string;
  sequence: number;
}

/** Written by triggers. */
export interface ShareRow {
  /** An account, or `all`. */
  grantee: string;
  region: string;
  sequence: number;
}

/** Of an account's volumes or snapshots in a region, what is being deleted and drafts left out; written by triggers. */
export interface TallyRow {
  kind: string;
  account: string;
  region: string;
  count: number;
  size_gib: number;
}

export interface NameRow {
  account: string;
  region: string;
  name: string;
  holder: string;
}

export interface OperationRow {
  sequence: Generated<number>;
  id: string;
  account: string;
  region: string;
  subject: string;
  resource_name: string;
  resource_type: string;
  type: string;
  zone: string;
  details: string | null;
  created_at_ms: number;
  status: string;
  status_changed_at_ms: number;
  error_code: string | null;
  error_details: string | null;
}

export interface TokenRow {
  account: string;
  region: string;
  purpose: string;
  token: string;
  request_hash: string;
  result: string;
  created_at_ms: number;
}

export interface BlockRow {
  snapshot: string;
  block_index: number;
  sha256: Uint8Array;
}

export interface SettingRow {
  key: string;
  value: string;
}

export interface DocumentRow {
  sequence: Generated<number>;
  kind: string;
  account: string;
  region: string;
  id: string;
  owner: string | null;
  /** JSON. */
  body: string;
}

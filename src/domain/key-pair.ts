import type { KeyPairId, KeyPairName } from './ids.ts';
import type { Face, Scope, Tags } from './volume.ts';

export type KeyType = 'rsa' | 'ed25519';

/** What lets somebody into machines by ssh. The private half is not kept, but for the default one (control/machines/key-pairs.ts). */
export interface KeyPair extends Scope {
  readonly id: KeyPairId;
  readonly face: Face;
  readonly name: KeyPairName;
  readonly type: KeyType;
  /** In OpenSSH's form: `ssh-ed25519 AAAA… name`. */
  readonly publicKey: string;
  readonly fingerprint: string;
  readonly createdAtMs: number;
  readonly tags: Tags;
}

import { assert } from '#base/assert.ts';

import type { Seed } from './hypervisor.ts';
import { encodeIso9660 } from './iso9660.ts';

/** cloud-init's NoCloud looks for a file system of this label. */
export const SEED_LABEL = 'cidata';

/** The image that a guest finds as its seed (docs/machines.md). */
export function encodeSeed(seed: Seed): Buffer {
  return encodeIso9660(SEED_LABEL, [
    { name: 'meta-data', content: Buffer.from(metaData(seed), 'utf8') },
    { name: 'user-data', content: seed.userData ?? new Uint8Array() },
  ]);
}

/** YAML in which nothing needs quotes, so that a shell can read it as well. */
export function metaData(seed: Seed): string {
  assert(/^i-[0-9a-f]{8,17}$/.test(seed.instance), 'a seed is of an instance');
  assert(
    /^[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(seed.hostName),
    'a host name is one label of a domain name',
  );
  const lines = [`instance-id: ${seed.instance}`, `local-hostname: ${seed.hostName}`];
  const keys = seed.publicKeys.map(plainKey);
  if (keys.length > 0) lines.push('public-keys:', ...keys.map((key) => `  - ${key}`));
  return `${lines.join('\n')}\n`;
}

/** A key with only those characters of its comment that mean nothing to YAML and shells. */
function plainKey(key: string): string {
  const [, type, base64, comment = ''] =
    /^([a-z0-9@.-]+) ([A-Za-z0-9+/]+={0,2})(?: ([^\n]*))?\s*$/.exec(key.trim()) ?? [];
  assert(type !== undefined && base64 !== undefined, "a public key is in OpenSSH's form");
  const plain = comment.replaceAll(/[^A-Za-z0-9@._-]+/g, '-').replaceAll(/^-+|-+$/g, '');
  return plain === '' ? `${type} ${base64}` : `${type} ${base64} ${plain}`;
}

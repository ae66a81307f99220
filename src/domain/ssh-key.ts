import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { KeyType } from './key-pair.ts';

/** A public key as ssh has it (RFC 4253, section 6.6; RFC 8709). */
export interface SshPublicKey {
  readonly type: KeyType;
  /** What stands in base64 in the one line of its file. */
  readonly blob: Buffer;
}

const TYPES: ReadonlyMap<string, KeyType> = new Map([
  ['ssh-rsa', 'rsa'],
  ['ssh-ed25519', 'ed25519'],
]);
/** 16384 bits of RSA. */
const BLOB_BYTES_MAX = 4096;
const RSA_BYTES_MIN = 1024 / 8;
const ED25519_BYTES = 32;

/** Of the one line of a public key's file, or that in base64, as Lightsail's name for it has it; null: it is none. */
export function parsePublicKey(text: string): SshPublicKey | null {
  return parseLine(text) ?? parseLine(Buffer.from(text, 'base64').toString('latin1'));
}

function parseLine(text: string): SshPublicKey | null {
  const parts = /^\s*(ssh-rsa|ssh-ed25519)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t][^\r\n]*)?\s*$/.exec(text);
  const type = TYPES.get(parts?.[1] ?? '');
  if (parts === null || type === undefined) return null;
  const blob = Buffer.from(parts[2] ?? '', 'base64');
  const fields = fieldsOf(blob);
  if (fields === null || fields[0]?.toString('latin1') !== parts[1]) return null;
  if (type === 'ed25519') return fields.length === 2 && fields[1]?.length === ED25519_BYTES ? { type, blob } : null;
  return fields.length === 3 && (fields[2]?.length ?? 0) >= RSA_BYTES_MIN ? { type, blob } : null;
}

/** The strings that a blob consists of; null: it does not. */
function fieldsOf(blob: Buffer): readonly Buffer[] | null {
  if (blob.length > BLOB_BYTES_MAX) return null;
  const fields: Buffer[] = [];
  for (let at = 0; at < blob.length;) {
    if (at + 4 > blob.length) return null;
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return null;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  return fields;
}

/** The one line of its file. A comment has no line ends. */
export function publicKeyLine({ type, blob }: SshPublicKey, comment: string): string {
  return `ssh-${type} ${blob.toString('base64')} ${comment.replaceAll(/[\r\n]/g, ' ')}`;
}

/** Of one of Node's keys, RSA or Ed25519. */
export function sshPublicKey(key: KeyObject): SshPublicKey {
  const jwk = (key.type === 'public' ? key : createPublicKey(key)).export({ format: 'jwk' });
  const bytes = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');
  if (jwk.kty === 'OKP') {
    return { type: 'ed25519', blob: joined([Buffer.from('ssh-ed25519'), bytes(jwk.x)]) };
  }
  return { type: 'rsa', blob: joined([Buffer.from('ssh-rsa'), positive(bytes(jwk.e)), positive(bytes(jwk.n))]) };
}

/** Node's key of a blob that was parsed. */
export function keyObjectOf({ type, blob }: SshPublicKey): KeyObject {
  const [, first = Buffer.alloc(0), second = Buffer.alloc(0)] = fieldsOf(blob) ?? [];
  const text = (bytes: Buffer): string => bytes.toString('base64url');
  const jwk =
    type === 'ed25519'
      ? { kty: 'OKP', crv: 'Ed25519', x: text(first) }
      : { kty: 'RSA', e: text(unsigned(first)), n: text(unsigned(second)) };
  return createPublicKey({ key: jwk, format: 'jwk' });
}

/**
 * As EC2 counts them: of an RSA key that was made there the SHA-1 of the private key (PKCS #8, DER), of an imported one the
 * MD5 of the public key (DER), of Ed25519 the SHA-256 of ssh itself.
 */
export function fingerprintOf(key: SshPublicKey, privateKey: KeyObject | null): string {
  if (key.type === 'ed25519') return createHash('sha256').update(key.blob).digest('base64');
  const hex =
    privateKey === null
      ? createHash('md5')
          .update(keyObjectOf(key).export({ format: 'der', type: 'spki' }))
          .digest('hex')
      : createHash('sha1')
          .update(privateKey.export({ format: 'der', type: 'pkcs8' }))
          .digest('hex');
  return hex.replaceAll(/(..)(?!$)/g, '$1:');
}

/** A private key's file, as ssh reads it: PEM for RSA, OpenSSH's own form for Ed25519, of which there is no other. */
export function privateKeyFile(key: KeyObject, comment: string): string {
  const publicKey = sshPublicKey(key);
  if (publicKey.type === 'rsa') return key.export({ format: 'pem', type: 'pkcs1' }).toString();
  const jwk = key.export({ format: 'jwk' });
  const seed = Buffer.from(jwk.d ?? '', 'base64url');
  const point = Buffer.from(jwk.x ?? '', 'base64url');
  // Twice the same number shows who opens an encrypted one that the passphrase is right; this one has none.
  const check = Buffer.alloc(8);
  const secret = Buffer.concat([
    check,
    joined([Buffer.from('ssh-ed25519'), point, Buffer.concat([seed, point]), Buffer.from(comment)]),
  ]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
  const one = Buffer.alloc(4);
  one.writeUInt32BE(1);
  const none = Buffer.from('none');
  const bytes = Buffer.concat([
    Buffer.from('openssh-key-v1\0', 'latin1'),
    joined([none, none, Buffer.alloc(0)]),
    one,
    joined([publicKey.blob, Buffer.concat([secret, padding])]),
  ]);
  const lines = bytes.toString('base64').match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

function joined(fields: readonly Buffer[]): Buffer {
  return Buffer.concat(
    fields.flatMap((field) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      return [length, field];
    }),
  );
}

/** A whole number above zero, as ssh writes it: its first bit is the sign. */
function positive(bytes: Buffer): Buffer {
  return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes;
}

function unsigned(bytes: Buffer): Buffer {
  return bytes[0] === 0 ? bytes.subarray(1) : bytes;
}

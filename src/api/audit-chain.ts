import { createHmac, timingSafeEqual } from 'node:crypto';
import { assert } from '#base/assert.ts';

/*
 * Each line ends with its number and a MAC over the line and the MAC of the line before. Whoever has not the key can neither
 * change a line, nor put one in, nor take one out, without the chain breaking there.
 */

/** Where a chain has come to. */
export interface ChainHead {
  /** Of the last line, from 1; 0: there is none. */
  readonly sequence: number;
  /** The last line's, 22 characters of base64url; empty: there is none. */
  readonly mac: string;
}

export const CHAIN_START: ChainHead = { sequence: 0, mac: '' };

const MAC_LENGTH = 22; // 131 bits of HMAC-SHA-256.

/** The next line, ended by a line break. `json`: an object with at least one member. `key`: 32 bytes. */
export function chainLine(
  key: Uint8Array,
  before: ChainHead,
  json: string,
): { readonly line: string; readonly head: ChainHead } {
  assert(json.endsWith('}') && json.length > 2, 'a line is an object that is not empty');
  const sequence = before.sequence + 1;
  const body = `${json.slice(0, -1)},"sequence":${sequence}`;
  const mac = macOf(key, before.mac, body);
  return { line: `${body},"mac":"${mac}"}\n`, head: { sequence, mac } };
}

export interface ChainedLine {
  readonly body: Buffer;
  readonly head: ChainHead;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Null: it is no line of a chain. `line`: without its line break. */
export function parseChained(line: Buffer): ChainedLine | null {
  const tail = /,"mac":"(?<mac>[A-Za-z0-9_-]{22})"\}$/.exec(line.subarray(-40).toString('latin1'));
  if (tail === null) return null;
  let fields: unknown;
  try {
    fields = JSON.parse(line.toString('utf8'));
  } catch {
    return null;
  }
  if (typeof fields !== 'object' || fields === null || !('sequence' in fields)) return null;
  const { sequence } = fields;
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 1) return null;
  const mac = tail.groups?.['mac'] ?? '';
  return { body: line.subarray(0, line.length - tail[0].length), head: { sequence, mac }, fields: { ...fields } };
}

/** Whether a line follows another whose MAC is `previousMac`, and is as it was written. */
export function follows(key: Uint8Array, previousMac: string, { body, head }: ChainedLine): boolean {
  return timingSafeEqual(Buffer.from(macOf(key, previousMac, body)), Buffer.from(head.mac));
}

function macOf(key: Uint8Array, previousMac: string, body: string | Buffer): string {
  return createHmac('sha256', key).update(`${previousMac}\n`).update(body).digest('base64url').slice(0, MAC_LENGTH);
}

/** IP addresses and the ranges of `IpAddress` conditions, as numbers. */

export interface AddressRange {
  readonly bits: 32 | 128;
  readonly value: bigint;
  readonly prefix: number;
}

/** `203.0.113.0/24`, `2001:db8::/32`, or one address. Null: neither. */
export function parseRange(text: string): AddressRange | null {
  const [address = '', prefixText, ...more] = text.split('/');
  const parsed = parseAddress(address);
  if (parsed === null || more.length > 0) return null;
  if (prefixText === undefined) return { ...parsed, prefix: parsed.bits };
  const prefix = /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : Number.NaN;
  return prefix <= parsed.bits ? { ...parsed, prefix } : null;
}

/** Whether an address lies in a range. An IPv4 address that came in over IPv6 (`::ffff:192.0.2.1`) is that IPv4 address. */
export function isInRange(address: string, range: AddressRange): boolean {
  const parsed = parseAddress(address);
  if (parsed === null || parsed.bits !== range.bits) return false;
  const shift = BigInt(range.bits - range.prefix);
  return parsed.value >> shift === range.value >> shift;
}

function parseAddress(text: string): { readonly bits: 32 | 128; readonly value: bigint } | null {
  if (!text.includes(':')) {
    const value = parseV4(text);
    return value === null ? null : { bits: 32, value };
  }
  const value = parseV6(text);
  if (value === null) return null;
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value };
}

function parseV4(text: string): bigint | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return null;
  return parts.reduce((value, part) => value * 256n + BigInt(part), 0n);
}

function parseV6(text: string): bigint | null {
  const dotted = /^(.*:)([0-9.]+\.[0-9.]+)$/.exec(text);
  let whole = text;
  if (dotted !== null) {
    const tail = parseV4(dotted[2] ?? '');
    if (tail === null) return null;
    whole = `${dotted[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = whole.split('::');
  if (halves.length > 2) return null;
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...head, ...Array.from({ length: halves.length === 2 ? missing : 0 }, () => '0'), ...tail];
  if (!groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return null;
  return groups.reduce((value, group) => value * 65536n + BigInt(`0x${group}`), 0n);
}

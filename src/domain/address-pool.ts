/** IPv4 addresses of this computer that machines are given: `count` of them, from `first` on. */
export interface AddressPool {
  /** As a number of 32 bits. */
  readonly first: number;
  readonly count: number;
}

const NETWORK = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/;
/** Of a larger network nobody would look through all addresses for a free one. */
const PREFIX_MIN = 16;
const PREFIX_MAX = 30;

/** `127.10.0.0/24`: all of it but its first and last address. Null: it is no network of 2 to 65,534 machines. */
export function parseAddressPool(text: string): AddressPool | null {
  const parts = NETWORK.exec(text)?.slice(1).map(Number);
  const [a, b, c, d, prefix] = parts ?? [];
  if (a === undefined || b === undefined || c === undefined || d === undefined || prefix === undefined) return null;
  if (Math.max(a, b, c, d) > 255 || prefix < PREFIX_MIN || prefix > PREFIX_MAX) return null;
  const size = 2 ** (32 - prefix);
  const base = ((a * 256 + b) * 256 + c) * 256 + d;
  return base % size === 0 ? { first: base + 1, count: size - 2 } : null;
}

/** The address at a place of the pool, counted from 0. */
export function addressAt({ first }: AddressPool, index: number): string {
  const address = first + index;
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** Only programs of this computer reach it. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.');
}

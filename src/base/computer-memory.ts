import { readFileSync } from 'node:fs';

/** Memory of this computer in MiB, and what programs may still take of it; null: it is no Linux. */
export function computerMemory(): { readonly totalMib: number; readonly availableMib: number } | null {
  try {
    return parseMemory(readFileSync('/proc/meminfo', 'utf8'));
  } catch {
    return null;
  }
}

/** Of the text of `/proc/meminfo`. */
export function parseMemory(text: string): { readonly totalMib: number; readonly availableMib: number } | null {
  const mibOf = (name: string): number | null => {
    const kib = new RegExp(`^${name}: *(\\d+) kB$`, 'm').exec(text)?.[1];
    return kib === undefined ? null : Math.floor(Number(kib) / 1024);
  };
  const [totalMib, availableMib] = [mibOf('MemTotal'), mibOf('MemAvailable')];
  return totalMib === null || availableMib === null ? null : { totalMib, availableMib };
}

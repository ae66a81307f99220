import type { Damage } from '#rescue/damage.ts';

/** `snap-…: bytes 1048576 to 1572863 are damaged: <why>`. */
export function describeDamage({ snapshot, offset, length, reason }: Damage): string {
  return `${snapshot}: bytes ${offset} to ${offset + length - 1} are damaged: ${reason}`;
}

import type { Damage } from '#rescue/damage.ts';

/** `snap-…: bytes 1048576 to 1572863 are damaged: <why>`. */
export function describeDamage({ snapshot, offset, length, reason }: Damage): string {
  return `${snapshot}: bytes ${offset} to ${offset + length - 1} are damaged: ${reason}`;
}

/** The same with neighbours of one snapshot as one, and the reason of the first. In the order in which they were found. */
export function describeDamages(damages: readonly Damage[]): readonly string[] {
  const runs: { whole: Damage; count: number }[] = [];
  for (const damage of damages) {
    const last = runs.at(-1);
    const whole = last?.whole;
    if (last !== undefined && whole?.snapshot === damage.snapshot && whole.offset + whole.length === damage.offset) {
      last.whole = { ...whole, length: whole.length + damage.length };
      last.count += 1;
    } else runs.push({ whole: damage, count: 1 });
  }
  return runs.map(({ whole, count }) => {
    const more = count === 1 ? '' : ` (and ${count - 1} more in this range)`;
    return `${describeDamage(whole)}${more}`;
  });
}

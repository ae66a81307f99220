import { readFileSync } from 'node:fs';

/**
 * Names the time in which processes that run now were begun: another name after a start of the computer, or of the container
 * that this process is in, which end all of them. Null where the system does not tell (it is Linux's).
 */
export function currentBoot(): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    // Of the first process: when it began, in ticks since the boot. Its name, in parentheses, may hold anything.
    const first = readFileSync('/proc/1/stat', 'latin1');
    const began = first.slice(first.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    return boot === '' ? null : `${boot}/${began}`;
  } catch {
    return null;
  }
}

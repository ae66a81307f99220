import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/** How long the machine runs: no setting of its clock changes that, and it goes on while a process is stopped or the machine sleeps. */
export interface Uptime {
  /** Another one for each start of the machine; null: it is not known which one this is. */
  readonly bootId: string | null;
  /** Milliseconds since that start. */
  uptimeMs(): number;
}

export const systemUptime: Uptime = {
  bootId: readBootId(),
  uptimeMs: () => Math.round(uptime() * 1000),
};

/** Null where the system has none (it is Linux's). */
function readBootId(): string | null {
  try {
    const id = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return id === '' ? null : id;
  } catch {
    return null;
  }
}

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const CLI = join(ROOT, 'src', 'cli.ts');

/**
 * Starts a server on a data directory and kills its control process after so long; with `host`, the volume host too, whether
 * it has just been started or was there.
 */
export async function startAndKill(
  data: string,
  options: {
    readonly afterMs: number;
    readonly host: boolean;
    readonly args: readonly string[];
    readonly environment: Readonly<Record<string, string>>;
  },
): Promise<void> {
  const { afterMs, host, args, environment } = options;
  const child = spawn(process.execPath, [CLI, 'serve', '--data', data, '--port', '0', ...args], {
    stdio: 'ignore',
    env: { NODE_COMPILE_CACHE: join(ROOT, 'node_modules', '.cache', 'varve'), ...process.env, ...environment },
  });
  const exited = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  await systemClock.sleep(afterMs);
  child.kill('SIGKILL');
  await exited;
  if (host) for (const pid of processesOf(data)) process.kill(pid, 'SIGKILL');
}

/** Processes of this program on that data directory. */
function processesOf(data: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => {
      const words = commandLine(pid);
      return words[0] === process.execPath && words.includes('--data') && words.includes(data);
    })
    .map(Number);
}

function commandLine(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
  } catch {
    return []; // It has ended meanwhile.
  }
}

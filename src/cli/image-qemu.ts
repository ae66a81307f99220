import { spawn } from 'node:child_process';

import { CommandError } from './command-error.ts';

const MISSING =
  'qemu-img is not installed. It comes with the package qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, RHEL); ' +
  'raw images are read and written without it';

/** Runs qemu-img to its end. Throws CommandError with its words, or the signal's reason once it is aborted. */
export async function runQemuImg(
  args: readonly string[],
  options: { readonly signal: AbortSignal; readonly onPercent?: (percent: number) => void },
): Promise<string> {
  options.signal.throwIfAborted();
  const child = spawn('qemu-img', [...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  const stop = (): void => void child.kill('SIGTERM');
  options.signal.addEventListener('abort', stop, { once: true });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const percent = [...text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1)?.[1];
    if (percent !== undefined) options.onPercent?.(Number(percent));
    else output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    options.signal.throwIfAborted();
    if (code !== 0) throw new CommandError(`qemu-img ${args[0] ?? ''}: ${lastLine(errors) || `exit code ${code}`}`);
    return output;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw new CommandError(MISSING, { cause: error });
    throw error;
  } finally {
    options.signal.removeEventListener('abort', stop);
  }
}

function lastLine(text: string): string {
  return (text.trim().split('\n').at(-1) ?? '').replace(/^qemu-img: /, '');
}

/** Shows a long text on a terminal through the user's pager, and elsewhere writes it. */
import { spawn } from 'node:child_process';
import type { Surroundings } from '#client/command.ts';

/** `less -R` keeps colours; -F leaves short texts alone. */
const PAGER_DEFAULT = 'less -R';

/** Ends when the reader has had enough. A pager that cannot be started is done without. */
export async function showPaged(text: string, surroundings: Surroundings): Promise<void> {
  const { environment, stdout } = surroundings;
  const command = environment['AWS_PAGER'] ?? environment['PAGER'] ?? PAGER_DEFAULT;
  if (stdout.isTTY !== true || command.trim() === '') {
    await write(stdout, text);
    return;
  }
  if (!(await page(command, text, environment))) await write(stdout, text);
}

/** Whether the pager could be started. */
async function page(command: string, text: string, environment: Surroundings['environment']): Promise<boolean> {
  const pager = spawn('/bin/sh', ['-c', command], {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...environment, LESS: environment['LESS'] ?? 'FRX' },
  });
  const exitCode = new Promise<number | null>((resolve) => {
    pager.on('error', () => resolve(null));
    pager.on('close', resolve);
  });
  // A reader who leaves before the end breaks the pipe.
  pager.stdin.on('error', () => undefined);
  // Ctrl-C belongs to the pager.
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore);
  pager.stdin.end(text);
  const code = await exitCode;
  process.off('SIGINT', ignore);
  // The shell's word for a command that there is not, or that cannot be run.
  return code !== null && code !== 127 && code !== 126;
}

async function write(stream: NodeJS.WritableStream, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    // Stays after a failure: the stream tells of it twice, to the write and as an event.
    const failed = (error: NodeJS.ErrnoException): void => {
      // The reader may want the beginning only (`head`).
      if (error.code === 'EPIPE') resolve();
      else reject(error);
    };
    stream.on('error', failed);
    stream.write(text, (error) => {
      if (error !== null && error !== undefined) return;
      stream.off('error', failed);
      resolve();
    });
  });
}

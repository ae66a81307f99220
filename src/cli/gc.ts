import { askServer, otherVersion } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { Interrupt } from './image-interrupt.ts';
import { formatBytes } from './image-progress.ts';
import { Words } from './words.ts';

export const GC_USAGE = `usage: varve gc [--json] [--data DIR]

Gives back what nothing needs any more: what deleted snapshots and disks left in the store. The server does so by itself,
now and then; this begins it at once and waits for the end. Ctrl-C ends the waiting (exit code 130); the server goes on.
`;

/** A large store in a bucket. */
const TIMEOUT_MS = 24 * 3_600_000;

/** `varve gc`. Throws ConfigError for a wrong command line, CommandError where something could not be given back. */
export async function gcCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('gc', rest, { data: { type: 'string' }, json: { type: 'boolean' } });
  words.take();
  const options = { data: words.text('data') };
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const before = await storedBytes();
  const reply = await askServer(options, 'POST', '/collect', { timeoutMs: TIMEOUT_MS, signal }).catch(
    (error: unknown) => {
      if (!signal.aborted) throw error;
      throw new CommandError('not waited for; the server goes on. What the store takes then: varve status');
    },
  );
  const { done, failed } = numbersOf(reply, ['done', 'failed']);
  const after = await storedBytes();
  const freedBytes = Math.max(0, before - after);
  if (words.flag('json')) {
    process.stdout.write(`${JSON.stringify({ freedBytes, storedBytes: after, done, failed }, null, 2)}\n`);
  } else {
    process.stdout.write(`${formatBytes(freedBytes)} given back; the store takes ${formatBytes(after)}\n`);
  }
  if (failed > 0) throw new CommandError('not all could be given back; "varve status" shows what went wrong last');

  async function storedBytes(): Promise<number> {
    return numbersOf(await askServer(options, 'GET', '/store', { timeoutMs: TIMEOUT_MS }), ['storedBytes']).storedBytes;
  }
}

function numbersOf<const N extends string>(value: unknown, names: readonly N[]): Readonly<Record<N, number>> {
  const found = names.map((name): [N, number] => {
    const one: unknown =
      typeof value === 'object' && value !== null ? Object.getOwnPropertyDescriptor(value, name)?.value : undefined;
    if (typeof one !== 'number') throw otherVersion();
    return [name, one];
  });
  return Object.fromEntries(found) as Record<N, number>;
}

import { CommandError } from './cli/command-error.ts';
import { COMMANDS, overview, type CommandEntry } from './cli/commands.ts';
import { nearest } from './cli/nearest.ts';
import { ConfigError } from './config.ts';

/** The services whose operations are commands: `varve ec2 describe-volumes`. */
const SERVICES: ReadonlySet<string> = new Set(['dlm', 'ebs', 'ec2', 'iam', 'kms', 'lightsail', 'rbin', 'sts']);

/** What cannot be printed ends the command. `mayEnd`: a reader that has read enough is no error. */
function watchOutput(mayEnd: boolean): void {
  process.stdout.on('error', (error) => {
    const isGone = 'code' in error && error.code === 'EPIPE';
    if (isGone && mayEnd) process.exit(0);
    // A command that writes an image or a file there tells of it itself.
    if (process.stdout.listenerCount('error') > 1) return;
    void endUnwritten(error);
  });
}

async function endUnwritten(error: Error): Promise<void> {
  const { plainError } = await import('./cli/plain-errors.ts');
  process.stderr.write(`varve: standard output cannot be written: ${plainError(error)}\n`);
  process.exit(1);
}

/** Throws ConfigError for a name that there is not. */
function entryOf(name: string): CommandEntry {
  const entry = COMMANDS.find((one) => one.name === name);
  if (entry !== undefined) return entry;
  const meant = nearest(name, [...COMMANDS.map((one) => one.name), ...SERVICES]);
  throw new ConfigError(`there is no command "${name}"${meant === null ? '' : `; is "${meant}" meant?`}`);
}

/** The exit code. */
async function perform(words: readonly string[]): Promise<number> {
  const [name = '', ...rest] = words[0] === '--version' && words.length === 1 ? ['version'] : words;
  // Options before a service are the AWS tools': varve --region eu-west-1 ec2 describe-volumes.
  if (
    SERVICES.has(name) ||
    (name.startsWith('--') && !isHelp(name)) ||
    (name === 'help' && SERVICES.has(rest[0] ?? ''))
  ) {
    const { performOperation } = await import('./cli/operation.ts');
    return await performOperation(name === 'help' ? [...rest, 'help'] : words);
  }
  if (name === '__complete') {
    const { completeCommand } = await import('./cli/completion.ts');
    await completeCommand(rest, COMMANDS);
    return 0;
  }
  if (name === 'help' || isHelp(name)) {
    const [about] = rest;
    watchOutput(true);
    process.stdout.write(about === undefined || about === 'help' ? overview() : (await entryOf(about).load()).usage);
    return 0;
  }
  const entry = entryOf(name);
  const { usage, run } = await entry.load();
  watchOutput(entry.isList === true);
  const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
  if (own.some(isHelp) || (rest.length === 1 && rest[0] === 'help')) process.stdout.write(usage);
  else await run(rest);
  // A command may have one of its own: ssh has that of what it performed.
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h';
}

/** The exit code. */
async function main(words: readonly string[]): Promise<number> {
  if (words.length === 0) {
    process.stderr.write(overview());
    return 2;
  }
  try {
    return await perform(words);
  } catch (error) {
    const [{ plainError }, { failureCode }] = await Promise.all([
      import('./cli/plain-errors.ts'),
      import('./cli/image-interrupt.ts'),
    ]);
    if (error instanceof ConfigError) {
      const known = COMMANDS.some(({ name }) => name === words[0]) ? ` ${words[0]}` : '';
      process.stderr.write(`varve: ${plainError(error)}\nSee "varve help${known}".\n`);
      return 2;
    }
    process.stderr.write(`varve: ${plainError(error)}\n`);
    if (!(error instanceof CommandError) && process.env['VARVE_DEBUG'] === '1' && error instanceof Error) {
      process.stderr.write(`${error.stack ?? ''}\n`);
    }
    return failureCode();
  }
}

process.exitCode = await main(process.argv.slice(2));

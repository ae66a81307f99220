/** How the command line refuses words: its usage and what is wrong, for standard error. */
import { ClientError } from '#client/command.ts';
import { EXIT_FAILURE, failure } from '#client/failure.ts';

/** The first line is to the byte what the AWS command line writes, which scripts compare. */
const USAGE = `usage: \rNote: AWS CLI version 2, the latest major version of the AWS CLI, is now stable and recommended for general use. \
For more information, see the AWS CLI version 2 installation instructions at: \
https://docs.aws.amazon.com/cli/latest/userguide/install-cliv2.html

usage: varve [options] <command> <subcommand> [<subcommand> ...] [parameters]
To see help text, you can run:

  varve help
  varve <command> help
  varve <command> <subcommand> help
`;

/** Words that no parser takes: the usage, what is wrong, exit code 2. */
export function usageError(message: string): ClientError {
  return new ClientError(`${USAGE}varve: error: ${message}\n`, 2);
}

/** Words that are left over once an operation has taken its own: the usage, exit code 255. */
export function unknownOptionsError(words: readonly string[], hints: readonly string[]): ClientError {
  const hint = hints.length === 0 ? '' : `\nMaybe you meant:\n${hints.map((name) => `  * ${name}\n`).join('')}`;
  return new ClientError(`${USAGE}\nUnknown options: ${words.join(', ')}\n${hint}`, EXIT_FAILURE);
}

/** A value that cannot be read. `option` as the message names it: --filters. */
export function parameterError(option: string, message: string): ClientError {
  return failure(`Error parsing parameter '${option}': ${message}`);
}

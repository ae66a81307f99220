import { spawnSync } from 'node:child_process';
import { PORT_DEFAULT, REGION_DEFAULT, type ConfigOptions } from '#src/config.ts';
import { CommandError } from './command-error.ts';
import { readCredentialsFile } from './credentials-file.ts';
import { readServerFile } from './server-file.ts';
import { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

export const ENV_USAGE = `usage: varve env [--data DIR]

Prints the shell lines that point the aws CLI and the SDKs at the local server:

  eval "$(varve env)"

"varve SERVICE OPERATION" needs none of it.
`;

/** The first versions of the AWS CLI that read AWS_ENDPOINT_URL, by major version. */
const ENDPOINT_VARIABLE_SINCE = new Map([
  [1, 29],
  [2, 13],
]);

/** `varve env`. Throws ConfigError for a wrong command line, CommandError where no server ever ran. */
export async function envCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('env', rest, { data: { type: 'string' } });
  words.take();
  process.stdout.write(await environmentLines({ data: words.text('data') }));
}

/** Lines for a POSIX shell's `eval`, after which plain `aws` talks to the local server. */
async function environmentLines(options: ConfigOptions): Promise<string> {
  const dataDirectory = servedDirectory(options);
  const credentials = await readCredentialsFile(dataDirectory);
  if (credentials === null) {
    throw new CommandError(
      `no server has started on ${dataDirectory} yet; start one with "varve serve --data ${dataDirectory}"`,
    );
  }
  const server = await readServerFile(dataDirectory);
  if (server === null || !isRunning(server.processId)) {
    const port = server?.endpoint ?? `port ${PORT_DEFAULT}, its default`;
    process.stderr.write(`varve: no server runs on ${dataDirectory} now; these lines are for ${port}\n`);
  }
  const variables = {
    AWS_ENDPOINT_URL: server?.endpoint ?? `http://127.0.0.1:${PORT_DEFAULT}`,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_DEFAULT_REGION: server?.region ?? REGION_DEFAULT,
    AWS_REGION: server?.region ?? REGION_DEFAULT,
  };
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`);
  lines.push('unset AWS_SESSION_TOKEN AWS_PROFILE');
  if (awsIgnoresEndpointVariable()) {
    lines.push('# This aws is too old to read AWS_ENDPOINT_URL.');
    lines.push('aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }');
  }
  return `${lines.join('\n')}\n`;
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'; // Another user's.
  }
}

function quoted(value: string): string {
  return /^[A-Za-z0-9_./:+=-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}

function awsIgnoresEndpointVariable(): boolean {
  const result = spawnSync('aws', ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const match = /aws-cli\/(\d+)\.(\d+)\./.exec(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  if (match === null) return false;
  const since = ENDPOINT_VARIABLE_SINCE.get(Number(match[1]));
  return since !== undefined && Number(match[2]) < since;
}

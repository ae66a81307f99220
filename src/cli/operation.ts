import { homedir } from 'node:os';

import type { LocalServer, Surroundings } from '#client/command.ts';
import { runClient } from '#client/main.ts';

const NO_SERVER =
  'no server was found here either (by VARVE_DATA, .varve here or in a directory above, or /var/lib/varve); start one ' +
  'with "varve serve"';

const NO_DATA_OPTION = 'an operation takes no --data: VARVE_DATA=DIR before the command names the server';

/** `varve SERVICE OPERATION …`. The exit code, which is the AWS CLI's. */
export async function performOperation(words: readonly string[]): Promise<number> {
  let isMissed = false;
  const code = await runClient(words, {
    environment: process.env,
    home: homedir(),
    stdout: process.stdout,
    stderr: process.stderr,
    localServer: async () => {
      const server = await localServer();
      isMissed = server === null;
      return server;
    },
  } satisfies Surroundings);
  // Behind the words of the AWS tools, which know no such option, and tell how to configure AWS.
  if (code !== 0 && words.some((word) => /^--data(?:=|$)/.test(word)))
    process.stderr.write(`varve: ${NO_DATA_OPTION}\n`);
  if (code !== 0 && isMissed) process.stderr.write(`varve: ${NO_SERVER}\n`);
  return code;
}

/** The server of this place. */
async function localServer(): Promise<LocalServer | null> {
  const [{ servedDirectory }, { readCredentialsFile }, { readServerFile }] = await Promise.all([
    import('./served-directory.ts'),
    import('./credentials-file.ts'),
    import('./server-file.ts'),
  ]);
  const dataDirectory = servedDirectory({});
  const [server, credentials] = await Promise.all([readServerFile(dataDirectory), readCredentialsFile(dataDirectory)]);
  if (server === null || credentials === null) return null;
  const { endpoint, region } = server;
  return { endpoint, region, accessKeyId: credentials.accessKeyId, secretAccessKey: credentials.secretAccessKey };
}

import { homedir } from 'node:os';

import type { LocalServer, Surroundings } from '#client/command.ts';
import { runClient } from '#client/main.ts';

/** `varve SERVICE OPERATION …`. The exit code, which is the AWS CLI's. */
export async function performOperation(words: readonly string[]): Promise<number> {
  return await runClient(words, {
    environment: process.env,
    home: homedir(),
    stdout: process.stdout,
    stderr: process.stderr,
    localServer,
  } satisfies Surroundings);
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

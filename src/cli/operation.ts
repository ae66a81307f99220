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

/** The server on the data directory of this place: VARVE_DATA, or .varve. */
async function localServer(): Promise<LocalServer | null> {
  const [{ dataDirectoryOf }, { readCredentialsFile }, { readServerFile }] = await Promise.all([
    import('#src/config.ts'),
    import('./credentials-file.ts'),
    import('./server-file.ts'),
  ]);
  const dataDirectory = dataDirectoryOf({}, process.env);
  const [server, credentials] = await Promise.all([readServerFile(dataDirectory), readCredentialsFile(dataDirectory)]);
  if (server === null || credentials === null) return null;
  const { endpoint, region } = server;
  return { endpoint, region, accessKeyId: credentials.accessKeyId, secretAccessKey: credentials.secretAccessKey };
}

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '#base/atomic-file.ts';

/** What a running server leaves in its data directory for the other commands. */
export interface ServerFile {
  readonly endpoint: string;
  readonly region: string;
  readonly processId: number;
  /** Path of the operator's socket. */
  readonly adminSocket: string;
}

export function serverFilePath(dataDirectory: string): string {
  return join(dataDirectory, 'server.json');
}

export async function writeServerFile(dataDirectory: string, server: ServerFile): Promise<void> {
  await writeFileAtomic(serverFilePath(dataDirectory), `${JSON.stringify(server, null, 2)}\n`);
}

export async function removeServerFile(dataDirectory: string): Promise<void> {
  await rm(serverFilePath(dataDirectory), { force: true });
}

/** The server that runs on this directory, or ran there and did not stop in order; null when there is none. */
export async function readServerFile(dataDirectory: string): Promise<ServerFile | null> {
  let text: string;
  try {
    text = await readFile(serverFilePath(dataDirectory), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  const value: unknown = JSON.parse(text);
  if (
    typeof value === 'object' &&
    value !== null &&
    'endpoint' in value &&
    typeof value.endpoint === 'string' &&
    'region' in value &&
    typeof value.region === 'string' &&
    'processId' in value &&
    typeof value.processId === 'number' &&
    'adminSocket' in value &&
    typeof value.adminSocket === 'string'
  ) {
    const { endpoint, region, processId, adminSocket } = value;
    return { endpoint, region, processId, adminSocket };
  }
  throw new Error(
    `${serverFilePath(dataDirectory)} is not a description of a server; remove it and start the server again`,
  );
}

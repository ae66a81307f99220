import { request } from 'node:http';
import type { ConfigOptions } from '#src/config.ts';
import { CommandError } from './command-error.ts';
import { readServerFile } from './server-file.ts';
import { servedDirectory } from './served-directory.ts';

/** The server on this data directory does not answer. */
export class ServerAwayError extends CommandError {}

/** Asks the running server over the operator's socket. Throws ServerAwayError when none runs, CommandError with the server's words when it refuses. */
export async function askServer(
  options: ConfigOptions,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  timeoutMs = 30_000,
): Promise<unknown> {
  const dataDirectory = servedDirectory(options);
  const server = await readServerFile(dataDirectory);
  const away = new ServerAwayError(
    `no server runs on ${dataDirectory}; start one with "npx varve serve --data ${dataDirectory}"`,
  );
  if (server === null) throw away;
  const reply = await new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
    const sent = request({ socketPath: server.adminSocket, method, path, timeout: timeoutMs }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString('utf8') }),
      );
      response.on('error', reject);
    });
    sent.on('timeout', () =>
      sent.destroy(new CommandError(`the server on ${dataDirectory} did not answer in ${timeoutMs / 1000} s`)),
    );
    sent.on('error', (error) => {
      const code = 'code' in error ? error.code : undefined;
      reject(code === 'ENOENT' || code === 'ECONNREFUSED' ? away : error);
    });
    sent.end();
  });
  const value: unknown = JSON.parse(reply.text);
  if (reply.status === 200) return value;
  const message =
    typeof value === 'object' && value !== null && 'message' in value ? String(value.message) : reply.text;
  throw new CommandError(message);
}

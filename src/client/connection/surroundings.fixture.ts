/** A command's surroundings for tests: files of settings in a scratch directory, and a server in this process. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import type { Clock } from '#base/clock.ts';
import {
  type Call,
  type GlobalOptions,
  type InputRecord,
  type LocalServer,
  NO_GLOBALS,
  NO_PAGING,
  type PagingOptions,
  type Surroundings,
} from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

export interface SurroundingsOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly config?: string;
  readonly credentials?: string;
  readonly localServer?: LocalServer | null;
}

export interface TestSurroundings extends Surroundings {
  /** What was written to standard error. */
  readonly errorText: () => string;
}

/** One for all homes of a file of tests. */
let scratch: string | null = null;

export function surroundingsOf(name: string, options: SurroundingsOptions = {}): TestSurroundings {
  scratch ??= scratchDirectory('client-connection');
  const home = mkdtempSync(join(scratch, `${name}-`));
  mkdirSync(join(home, '.aws'), { recursive: true });
  if (options.config !== undefined) writeFileSync(join(home, '.aws/config'), options.config);
  if (options.credentials !== undefined) writeFileSync(join(home, '.aws/credentials'), options.credentials);
  const stderr = new PassThrough();
  let text = '';
  stderr.on('data', (part: Buffer) => {
    text += part.toString();
  });
  return {
    environment: options.environment ?? {},
    home,
    stdout: new PassThrough(),
    stderr,
    localServer: () => Promise.resolve(options.localServer ?? null),
    errorText: () => {
      const rest = stderr.read() as Buffer | null;
      return text + (rest?.toString() ?? '');
    },
  };
}

export function callOf(
  service: ServiceName,
  operation: string,
  input: InputRecord = {},
  {
    globals = {},
    paging = {},
    outfile = null,
  }: {
    readonly globals?: Partial<GlobalOptions>;
    readonly paging?: Partial<PagingOptions>;
    readonly outfile?: string | null;
  } = {},
): Call {
  return {
    kind: 'call',
    service,
    operation,
    commandName: operation,
    input,
    globals: { ...NO_GLOBALS, ...globals },
    paging: { ...NO_PAGING, ...paging },
    outfile,
  };
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** What a server answers to its requests, one after the other; the last goes on. Null: it closes the connection. */
export type Answer = {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
} | null;

export interface AnsweringServer extends AsyncDisposable {
  readonly endpoint: string;
  readonly seen: readonly SeenRequest[];
}

export async function answeringServer(answers: readonly Answer[]): Promise<AnsweringServer> {
  const seen: SeenRequest[] = [];
  const server: Server = createServer((request, reply) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const answer = answers[Math.min(seen.length, answers.length - 1)] ?? null;
      const { method = '', url = '', headers } = request;
      seen.push({ method, url, headers, body: Buffer.concat(parts).toString() });
      if (answer === null) request.socket.destroy();
      else reply.writeHead(answer.status, { ...answer.headers }).end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Sleeps no time, and says how long it would have. */
export function hastyClock(nowMs = Date.UTC(2026, 0, 2, 3, 4, 5)): Clock & { readonly slept: readonly number[] } {
  const slept: number[] = [];
  return {
    slept,
    nowMs: () => nowMs,
    monotonicMs: () => 0,
    sleep: (durationMs) => {
      slept.push(durationMs);
      return Promise.resolve();
    },
  };
}

/** Requests a second of one server, by eight connections that each send the next request when the last is answered. */
import { Agent, request as httpRequest } from 'node:http';
import { systemClock } from '#base/clock.ts';
import { SigningClient } from '#api/signing-client.fake.ts';
import type { Credentials } from '../running-server.ts';

export const CONNECTIONS = 8;

/** A server and what is in it. */
export interface Target {
  readonly name: string;
  readonly port: number;
  readonly credentials: Credentials;
  readonly volumes: readonly string[];
  readonly snapshots: readonly string[];
}

export type Parameters = Readonly<Record<string, string>>;

/** Parameters of the n-th request of a connection. */
export type NextRequest = (connection: number, n: number) => Parameters;

/** Requests a second, over `seconds`. Throws at the first reply that is not 200. */
export async function rate(target: Target, seconds: number, next: NextRequest): Promise<number> {
  const client = new SigningClient(target.port, target.credentials, () => systemClock.nowMs());
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const beganMs = systemClock.monotonicMs();
  let answered = 0;
  const connection = async (index: number): Promise<void> => {
    for (let n = 0; systemClock.monotonicMs() - beganMs < seconds * 1000; n += 1) {
      await send(target, agent, client, next(index, n));
      answered += 1;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => connection(index)));
  agent.destroy();
  return answered / ((systemClock.monotonicMs() - beganMs) / 1000);
}

/** The text of the reply. */
export async function call(target: Target, parameters: Parameters): Promise<string> {
  const client = new SigningClient(target.port, target.credentials, () => systemClock.nowMs());
  const agent = new Agent();
  try {
    return await send(target, agent, client, parameters);
  } finally {
    agent.destroy();
  }
}

async function send(target: Target, agent: Agent, client: SigningClient, parameters: Parameters): Promise<string> {
  const body = new URLSearchParams({ Version: '2016-11-15', ...parameters }).toString();
  const headers = client.sign({
    service: 'ec2',
    body,
    headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
  });
  const done = Promise.withResolvers<string>();
  const outgoing = httpRequest(
    { host: '127.0.0.1', port: target.port, method: 'POST', path: '/', headers, agent },
    (reply) => {
      const pieces: Buffer[] = [];
      reply.on('data', (piece: Buffer) => pieces.push(piece));
      reply.on('error', done.reject);
      reply.on('end', () => {
        const text = Buffer.concat(pieces).toString();
        if (reply.statusCode === 200) done.resolve(text);
        else done.reject(new Error(`${target.name} answered ${reply.statusCode}: ${text.slice(0, 500)}`));
      });
    },
  );
  outgoing.on('error', done.reject);
  outgoing.end(body);
  return await done.promise;
}

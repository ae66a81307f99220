import { request } from 'node:http';
import { createInterface } from 'node:readline';

import type { ConfigOptions } from '#src/config.ts';

import { noServer, otherVersion, socketError } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { Interrupt } from './image-interrupt.ts';
import { readServerFile } from './server-file.ts';
import { servedDirectory } from './served-directory.ts';
import { printable } from './table.ts';
import { Words } from './words.ts';

export const TRACE_USAGE = `usage: varve trace [--service NAME] [--operation NAME] [--errors] [--slow MS] [--all] [--json] [--data DIR]

Shows the calls that the server answers, as it answers them, until Ctrl-C: when, the service and operation, the status or
the error code, how long it took, the access key, the request id.

  --service NAME     only this service: ec2, lightsail, …
  --operation NAME   only this operation; "*" stands for anything: "Delete*"
  --errors           only what was refused or failed
  --slow MS          only what took so long, or longer
  --all              everything that the server logs: tasks, disks, instances, warnings
  --json             the lines as they are logged

What was called before: "varve audit".
`;

type Line = Readonly<Record<string, unknown>>;

/** `varve trace`, until the server ends. Throws ConfigError for a wrong command line, ServerAwayError when none runs. */
export async function traceCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('trace', rest, {
    data: { type: 'string' },
    service: { type: 'string' },
    operation: { type: 'string' },
    errors: { type: 'boolean' },
    slow: { type: 'string' },
    all: { type: 'boolean' },
    json: { type: 'boolean' },
  });
  words.take();
  const isWished = filterOf(words);
  const show = words.flag('json') ? (line: Line) => JSON.stringify(line) : lineWords;
  await follow({ data: words.text('data') }, (line) => {
    if (isWished(line)) process.stdout.write(`${show(line)}\n`);
  });
}

function filterOf(words: Words): (line: Line) => boolean {
  const [service, operation, slow] = [words.text('service'), words.text('operation'), words.text('slow')];
  if (slow !== undefined && !/^\d{1,9}$/.test(slow))
    throw words.wrong(`--slow: "${slow}" is no number of milliseconds`);
  const escaped = (operation ?? '*').split('*').map((part) => part.replace(/[^A-Za-z0-9]/g, ''));
  const pattern = new RegExp(`^${escaped.join('.*')}$`, 'i');
  const [all, errors] = [words.flag('all'), words.flag('errors')];
  return (line) => {
    if (line['event'] !== 'request') return all && (!errors || line['level'] !== 'info');
    return (
      (service === undefined || line['service'] === service) &&
      pattern.test(typeof line['operation'] === 'string' ? line['operation'] : '') &&
      (!errors || Number(line['status']) >= 400) &&
      (slow === undefined || Number(line['tookMs']) >= Number(slow))
    );
  };
}

async function follow(options: ConfigOptions, onLine: (line: Line) => void): Promise<void> {
  const directory = servedDirectory(options);
  const server = await readServerFile(directory);
  if (server === null) throw noServer(directory);
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  await new Promise<void>((resolve, reject) => {
    const sent = request({ socketPath: server.adminSocket, path: '/trace' }, (response) => {
      if (response.statusCode !== 200) {
        reject(otherVersion());
        return;
      }
      process.stderr.write('Ctrl-C ends it.\n');
      const lines = createInterface({ input: response });
      // A server that is killed breaks off: readline tells of it in its own name.
      for (const source of [response, lines]) source.on('error', (error) => reject(socketError(error, directory)));
      lines.on('line', (line) => {
        const parsed = parseLine(line);
        if (parsed !== null) onLine(parsed);
      });
      lines.on('close', resolve);
    });
    sent.on('error', (error) => reject(socketError(error, directory)));
    signal.addEventListener('abort', () => {
      reject(new CommandError('not followed any more. What was called, also before: varve audit list'));
      sent.destroy();
    });
    sent.end();
  });
  process.stderr.write('The server has ended.\n');
}

/** Null: the server ended in the middle of it. */
function parseLine(line: string): Line | null {
  try {
    return JSON.parse(line) as Line;
  } catch {
    return null;
  }
}

/** `09:30:00.123  ec2 CreateSnapshot  200  12 ms  AKIA…  id`. */
export function lineWords(line: Line): string {
  const { atMs, level, event, ...fields } = line;
  const time = new Date(Number(atMs)).toISOString().slice(11, 23);
  const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value ?? '-'));
  if (event !== 'request') {
    const rest = Object.entries(fields).map(([name, value]) => `${name} ${text(value)}`);
    return printable(`${time}  ${text(level)}  ${[text(event), ...rest].join('  ')}`);
  }
  const { service, operation, code, status, tookMs, accessKeyId, requestId } = fields;
  const called = `${service === null ? '-' : text(service)} ${operation === null ? '-' : text(operation)}`.padEnd(36);
  const outcome = text(code ?? status).padEnd(4);
  const key = accessKeyId === null ? '-' : text(accessKeyId);
  return printable(`${time}  ${called}  ${outcome}  ${`${text(tookMs)} ms`.padStart(8)}  ${key}  ${text(requestId)}`);
}

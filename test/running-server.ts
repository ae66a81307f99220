import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { runAws } from './aws/aws-processes.ts';
import { run, type RunResult } from './run.ts';

const ROOT = join(import.meta.dirname, '..');

export interface Credentials {
  readonly accountId: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export type LogLine = Readonly<Record<string, unknown>>;

function parseLine(line: string): LogLine | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as LogLine) : null;
  } catch {
    return null;
  }
}

/** A real `varve serve` in a process of its own, on a data directory that goes away with it. */
export class RunningServer implements AsyncDisposable {
  readonly dataDirectory: string;
  readonly endpoint: string;
  readonly credentials: Credentials;
  /** What the server has logged so far. */
  readonly log: readonly LogLine[];
  readonly #process: ChildProcess;
  readonly #exited: Promise<number | null>;
  readonly #ownsData: boolean;

  private constructor(started: {
    readonly dataDirectory: string;
    readonly endpoint: string;
    readonly credentials: Credentials;
    readonly process: ChildProcess;
    readonly exited: Promise<number | null>;
    readonly log: readonly LogLine[];
    readonly ownsData: boolean;
  }) {
    this.dataDirectory = started.dataDirectory;
    this.endpoint = started.endpoint;
    this.credentials = started.credentials;
    this.log = started.log;
    this.#process = started.process;
    this.#exited = started.exited;
    this.#ownsData = started.ownsData;
  }

  /** Starts a server and waits until it says that it is ready. `data`: a directory to start on again, kept at the end. */
  static async start(
    options: {
      readonly data?: string;
      readonly args?: readonly string[];
      readonly environment?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<RunningServer> {
    const dataDirectory = options.data ?? (await mkdtemp(join(tmpdir(), 'varve-test-')));
    const child = spawn(
      process.execPath,
      [join(ROOT, 'src', 'cli.ts'), 'serve', '--data', dataDirectory, '--port', '0', ...(options.args ?? [])],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          NODE_COMPILE_CACHE: join(ROOT, 'node_modules', '.cache', 'varve'),
          ...process.env,
          ...options.environment,
          VARVE_DEBUG: '1',
        },
      },
    );
    const log: LogLine[] = [];
    const errors: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      const parsed = parseLine(line);
      if (parsed === null) errors.push(line);
      else log.push(parsed);
    });
    const exited = new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)));
    const endpoint = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const match = /endpoint\s+(https?:\S+)/.exec(line);
        if (match?.[1] !== undefined) resolve(match[1]);
      });
      void exited.then((code) => reject(new Error(`the server exited with ${code}: ${errors.join('\n')}`)));
    });
    const server = new RunningServer({
      dataDirectory,
      endpoint,
      credentials: await readCredentials(dataDirectory),
      process: child,
      exited,
      log,
      ownsData: options.data === undefined,
    });
    return server;
  }

  /** How many API requests the server has answered. */
  get requestCount(): number {
    return this.log.filter((line) => line['event'] === 'request').length;
  }

  get processId(): number {
    return this.#process.pid ?? -1;
  }

  /** Process ids of the server and of all that it started, itself first. */
  processTree(): readonly number[] {
    return descendants(this.processId);
  }

  /** Environment in which the AWS tools talk to this server. */
  environment(credentials: Credentials = this.credentials, region = 'us-east-1'): Record<string, string> {
    const { AWS_PROFILE: _profile, AWS_SESSION_TOKEN: _token, ...rest } = process.env;
    return {
      ...Object.fromEntries(Object.entries(rest).filter((entry): entry is [string, string] => entry[1] !== undefined)),
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_DEFAULT_REGION: region,
      AWS_REGION: region,
      AWS_PAGER: '',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    };
  }

  /** Runs the real `aws` against this server; whatever its exit code. */
  async aws(args: readonly string[], options: { readonly env?: Record<string, string> } = {}): Promise<RunResult> {
    const words = ['--endpoint-url', this.endpoint, '--output', 'json', ...args];
    return await runAws(words, options.env ?? this.environment());
  }

  /** As `aws`, and the parsed JSON that it printed; throws when it failed. */
  async awsJson<T>(args: readonly string[], options: { readonly env?: Record<string, string> } = {}): Promise<T> {
    const result = await this.aws(args, options);
    if (result.code !== 0) throw new Error(`aws ${args.join(' ')}: exit ${result.code}: ${result.stderr.trim()}`);
    return (result.stdout.trim() === '' ? {} : JSON.parse(result.stdout)) as T;
  }

  /** Runs `varve` with this server's data directory. */
  async varve(args: readonly string[]): Promise<RunResult> {
    return await run(process.execPath, [join(ROOT, 'src', 'cli.ts'), ...args, '--data', this.dataDirectory], {
      env: this.environment(),
    });
  }

  /** The NBD address of a disk, volume or snapshot. */
  async uri(nameOrId: string): Promise<string> {
    const result = await this.varve(['connect', nameOrId]);
    if (result.code !== 0) throw new Error(`varve connect ${nameOrId}: ${result.stderr}`);
    return result.stdout.trim();
  }

  /** Sends a signal to the control process only. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Kill -9 of everything at one instant, as a crash of all software on the machine. */
  async killAll(): Promise<void> {
    for (const pid of this.processTree()) killQuietly(pid);
    killQuietly(await this.hostProcessId());
    await this.#exited;
  }

  /** The volume host's process id; -1 when there is none. */
  async hostProcessId(): Promise<number> {
    try {
      return Number((await readFile(join(this.dataDirectory, 'run', 'host.lock.holder'), 'utf8')).trim());
    } catch {
      return -1;
    }
  }

  /** Stops the server as Ctrl-C does; its exit code. */
  async stop(): Promise<number | null> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill('SIGTERM');
    return await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    const host = await this.hostProcessId();
    if (host > 0 && this.#ownsData) killQuietly(host);
    if (this.#ownsData) await rm(this.dataDirectory, { recursive: true, force: true });
  }
}

async function readCredentials(dataDirectory: string): Promise<Credentials> {
  const text = await readFile(join(dataDirectory, 'credentials'), 'utf8');
  const value = (name: string): string => new RegExp(`${name} = (\\S+)`).exec(text)?.[1] ?? '';
  return {
    accountId: value('aws_account_id'),
    accessKeyId: value('aws_access_key_id'),
    secretAccessKey: value('aws_secret_access_key'),
  };
}

function killQuietly(pid: number): void {
  if (pid <= 1) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

function descendants(pid: number): readonly number[] {
  let children: readonly number[] = [];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter((text) => text !== '')
      .map(Number);
  } catch {
    return [pid];
  }
  return [pid, ...children.flatMap(descendants)];
}

/** Resident memory of a process in bytes, as the kernel counts it (RSS). */
export function residentBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}

/** As `residentBytes`, but pages that several processes share are counted in equal parts (PSS): sums count them once. */
export function proportionalBytes(pid: number): number {
  const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}

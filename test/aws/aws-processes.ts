import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { findPython } from '../python.ts';
import { run, type RunResult } from '../run.ts';

interface Pending {
  readonly resolve: (result: RunResult) => void;
  readonly reject: (error: Error) => void;
}

/** What starts the commands: a Python that has loaded the command line once, and forks a process for each command. */
class AwsProcesses {
  readonly #child: ChildProcess;
  readonly #pipes: readonly Socket[];
  readonly #requests: Socket;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #failure: Error | null = null;

  constructor(python: string) {
    const script = join(import.meta.dirname, 'aws-processes.py');
    const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    this.#requests = child.stdin as Socket;
    this.#pipes = [this.#requests, child.stdout as Socket];
    this.#requests.on('error', () => {}); // Its end is told by `exit`.
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { id, ...result } = JSON.parse(line) as RunResult & { readonly id: number };
      this.#take(id)?.resolve(result);
    });
    const fail = (error: Error): void => {
      this.#failure ??= error;
      for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(error);
    };
    child.on('error', fail);
    child.on('exit', (code) => fail(new Error(`the process that starts aws ended with ${code}`)));
    this.#holdOpen(false);
  }

  async run(words: readonly string[], environment: Readonly<Record<string, string>>): Promise<RunResult> {
    if (this.#failure !== null) throw this.#failure;
    const id = ++this.#lastId;
    return await new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#holdOpen(true);
      this.#requests.write(`${JSON.stringify({ id, words, environment })}\n`);
    });
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#holdOpen(false);
    return pending;
  }

  /** Only while commands run does this process wait for them: a test ends without saying so, and with it what it started. */
  #holdOpen(isHeld: boolean): void {
    for (const one of [this.#child, ...this.#pipes]) {
      if (isHeld) one.ref();
      else one.unref();
    }
  }
}

let processes: AwsProcesses | null = null;

/** Runs the real `aws` in this environment, whatever its exit code: from the Python that has it where there is one. */
export async function runAws(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<RunResult> {
  const python = findPython('awscli');
  if (python === null) return await run('aws', words, { env: { ...environment } });
  processes ??= new AwsProcesses(python);
  return await processes.run(words, environment);
}

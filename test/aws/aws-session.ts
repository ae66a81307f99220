import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { run, type RunResult } from '../run.ts';
import type { RunningServer } from '../running-server.ts';
import { findPython } from './boto3.ts';

/** The real `aws` for many commands, one after the other: in one process where its Python can be used, else one each. */
export class AwsSession implements AsyncDisposable {
  readonly #server: RunningServer;
  readonly #process: ChildProcess | null;
  readonly #replies: AsyncIterator<string> | null;

  private constructor(server: RunningServer, process: ChildProcess | null, lines: Interface | null) {
    this.#server = server;
    this.#process = process;
    this.#replies = lines?.[Symbol.asyncIterator]() ?? null;
  }

  static open(server: RunningServer): AwsSession {
    const python = findPython('awscli');
    if (python === null) return new AwsSession(server, null, null);
    const script = join(import.meta.dirname, 'aws-session.py');
    const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'], env: server.environment() });
    return new AwsSession(server, child, createInterface({ input: child.stdout }));
  }

  async run(words: readonly string[]): Promise<RunResult> {
    const all = ['--endpoint-url', this.#server.endpoint, '--output', 'json', ...words];
    const [process, replies] = [this.#process, this.#replies];
    if (process === null || replies === null) return await run('aws', all, { env: this.#server.environment() });
    process.stdin?.write(`${JSON.stringify(all)}\n`);
    const reply = await replies.next();
    if (reply.done === true) throw new Error(`the command line ended at: aws ${words.join(' ')}`);
    return JSON.parse(reply.value) as RunResult;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    const ended = new Promise((resolve) => process.once('exit', resolve));
    process.stdin?.end();
    await ended;
  }
}

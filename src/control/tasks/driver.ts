import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';
import type { TaskName } from '#control/ports.ts';
import type { Task, TaskReport, TaskState } from './task.ts';

/** The first wait after a failure; doubles with each in a row, up to the longest. */
const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 60_000;

/**
 * Runs tasks every period and when woken, each one alone: never two activations of one task at once. A wake during an
 * activation runs it once more afterwards. An error is logged, and the next activation comes after a growing wait, or at the
 * next wake.
 */
export class TaskDriver implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #runners: ReadonlyMap<TaskName, Runner>;
  readonly #stop = new AbortController();
  #loops: readonly Promise<void>[] = [];

  constructor(tasks: readonly Task[], options: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#runners = new Map(tasks.map((task) => [task.name, new Runner(task, this.#stop.signal, this.#clock)]));
  }

  /** Every task runs now, or after its start delay, and from then on. */
  start(): void {
    this.#loops = [...this.#runners.values()].map((runner) => this.#loop(runner));
  }

  wake(name: TaskName): void {
    this.#runner(name).wake();
  }

  /** One whole activation that begins after this call. */
  async run(name: TaskName): Promise<TaskReport> {
    return await this.#runner(name).run();
  }

  states(): readonly TaskState[] {
    return [...this.#runners.values()].map((runner) => runner.state);
  }

  /** Aborts what runs and waits for it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the server is stopping'));
    for (const runner of this.#runners.values()) runner.wake();
    await Promise.all(this.#loops);
    await Promise.all([...this.#runners.values()].map((runner) => runner.idle()));
  }

  #runner(name: TaskName): Runner {
    const runner = this.#runners.get(name);
    if (runner === undefined) throw new Error(`there is no task ${name}`);
    return runner;
  }

  async #loop(runner: Runner): Promise<void> {
    const { task } = runner;
    let failures = 0;
    if (task.startDelayMs > 0) await this.#wait(runner, task.startDelayMs);
    while (!this.#stop.signal.aborted) {
      try {
        const report = await runner.run();
        failures = report.failed > 0 ? failures + 1 : 0;
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        failures += 1;
        this.#log.error('task.failed', { task: task.name, failures, error });
      }
      const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(failures - 1, 16));
      await this.#wait(runner, failures === 0 ? task.periodMs : Math.min(task.periodMs, backoffMs));
    }
  }

  /** Until the time is over or somebody wakes the task; then its own delay, in which further wakes are gathered. */
  async #wait(runner: Runner, durationMs: number): Promise<void> {
    const woken = await this.#sleep(durationMs, runner.woken());
    if (woken && runner.task.wakeDelayMs > 0) await this.#sleep(runner.task.wakeDelayMs, null);
  }

  /** Whether `early` ended the sleep. */
  async #sleep(durationMs: number, early: Promise<void> | null): Promise<boolean> {
    const timer = new AbortController();
    const signal = AbortSignal.any([timer.signal, this.#stop.signal]);
    const slept = this.#clock.sleep(durationMs, signal).then(
      () => false,
      () => false, // Only the signals end it.
    );
    const woken = await (early === null ? slept : Promise.race([slept, early.then(() => true)]));
    timer.abort();
    return woken;
  }
}

class Runner {
  readonly task: Task;
  readonly #signal: AbortSignal;
  readonly #clock: Clock;
  #running: Promise<unknown> = Promise.resolve();
  #state: TaskState;
  #woken = Promise.withResolvers<void>();

  constructor(task: Task, signal: AbortSignal, clock: Clock) {
    this.task = task;
    this.#signal = signal;
    this.#clock = clock;
    this.#state = { name: task.name, runningSinceMs: null, endedAtMs: null, report: null, failure: null };
  }

  get state(): TaskState {
    return this.#state;
  }

  wake(): void {
    this.#woken.resolve();
    this.task.nudge?.();
  }

  woken(): Promise<void> {
    return this.#woken.promise;
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  async run(): Promise<TaskReport> {
    const activation = this.#running.then(() => {
      // What was asked for until now is done by this activation.
      this.#woken = Promise.withResolvers<void>();
      return this.#activate();
    });
    this.#running = activation.catch(() => {}); // Whoever asked for it hears of the error.
    return await activation;
  }

  async #activate(): Promise<TaskReport> {
    this.#state = { ...this.#state, runningSinceMs: this.#clock.nowMs() };
    try {
      const report = await this.task.activate(this.#signal);
      this.#end({ report, failure: null });
      return report;
    } catch (error) {
      this.#end({ report: null, failure: describeError(error) });
      throw error;
    }
  }

  #end(how: Pick<TaskState, 'report' | 'failure'>): void {
    this.#state = { name: this.task.name, runningSinceMs: null, endedAtMs: this.#clock.nowMs(), ...how };
  }
}

import type { TaskName } from '#control/ports.ts';

export interface TaskReport {
  readonly done: number;
  /** Things that could not be done now; another activation comes soon. */
  readonly failed: number;
  /** Things that wait for something else. */
  readonly remaining: number;
}

/** Brings the world closer to what the metadata says. Takes no input; safe to run at any time; runs every period and when woken. */
export interface Task {
  readonly name: TaskName;
  readonly periodMs: number;
  /** How long after the start of the server it runs first. */
  readonly startDelayMs: number;
  /** How long after a wake it runs: gathers many wakes into one activation. */
  readonly wakeDelayMs: number;
  /** Ends early, with the signal's reason, when it aborts. */
  activate(signal: AbortSignal): Promise<TaskReport>;
  /** Called at each wake, for an activation that is long and looks for new work itself. */
  nudge?(): void;
}

/** How a task is doing, for whoever runs the server. */
export interface TaskState {
  readonly name: TaskName;
  /** When the activation began that runs now; null: it waits. */
  readonly runningSinceMs: number | null;
  /** When the last one ended; null: none has. */
  readonly endedAtMs: number | null;
  /** What the last one did; null: none has ended, or it failed. */
  readonly report: TaskReport | null;
  /** Why the last one failed; null: it did not. */
  readonly failure: string | null;
}

/** Adds up what was done for one thing after another. */
export class Tally {
  #done = 0;
  #failed = 0;
  #remaining = 0;

  done(): void {
    this.#done += 1;
  }

  failed(): void {
    this.#failed += 1;
  }

  remaining(): void {
    this.#remaining += 1;
  }

  report(): TaskReport {
    return { done: this.#done, failed: this.#failed, remaining: this.#remaining };
  }
}

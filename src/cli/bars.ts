import type { Clock } from '#base/clock.ts';

import { progressLine } from './image-progress.ts';

/** Redrawn at most so often. */
const REDRAW_MS = 200;
/** Where there is no terminal, a line at least so often, and at each tenth. */
const LINE_MS = 30_000;

/** Where bars are drawn: a terminal, or anything else. */
export interface BarStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** How far something has come. */
export interface Step {
  readonly label: string;
  readonly doneBytes: number;
  /** Null: nobody knows yet. */
  readonly totalBytes: number | null;
}

interface Shown {
  readonly startedMs: number;
  readonly startedBytes: number;
  lineMs: number;
  tenth: number;
}

/** Several progress bars: redrawn in place on a terminal, lines anywhere else. */
export class Bars implements Disposable {
  readonly #stream: BarStream;
  readonly #clock: Clock;
  readonly #shown = new Map<string, Shown>();
  #drawnMs = -Infinity;
  #lineCount = 0;

  constructor(clock: Clock, stream: BarStream = process.stderr) {
    this.#clock = clock;
    this.#stream = stream;
  }

  show(steps: readonly Step[]): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#stream.isTTY === true) {
      if (nowMs - this.#drawnMs < REDRAW_MS) return;
      this.#drawnMs = nowMs;
      this.#clear();
      for (const step of steps) this.#stream.write(`${this.#line(step, nowMs)}\n`);
      this.#lineCount = steps.length;
      return;
    }
    for (const step of steps) {
      const shown = this.#of(step, nowMs);
      const tenth = step.totalBytes === null ? 0 : Math.floor((step.doneBytes * 10) / Math.max(1, step.totalBytes));
      if (tenth === shown.tenth && nowMs - shown.lineMs < LINE_MS) continue;
      shown.tenth = tenth;
      shown.lineMs = nowMs;
      this.#stream.write(`${this.#line(step, nowMs)}\n`);
    }
  }

  [Symbol.dispose](): void {
    this.#clear();
  }

  #clear(): void {
    if (this.#lineCount > 0) this.#stream.write(`\u001B[${this.#lineCount}A\u001B[J`);
    this.#lineCount = 0;
  }

  /** The rate is of what came since it was first seen: it may have run for long before. */
  #line(step: Step, nowMs: number): string {
    const { startedMs, startedBytes } = this.#of(step, nowMs);
    const { label, doneBytes, totalBytes } = step;
    if (totalBytes === null) return `${label}  waits for its turn`;
    return progressLine(label, doneBytes, totalBytes, nowMs - startedMs, startedBytes);
  }

  #of({ label, doneBytes }: Step, nowMs: number): Shown {
    const known = this.#shown.get(label);
    if (known !== undefined) return known;
    const shown: Shown = { startedMs: nowMs, startedBytes: doneBytes, lineMs: -Infinity, tenth: -1 };
    this.#shown.set(label, shown);
    return shown;
  }
}

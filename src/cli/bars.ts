import type { Clock } from '#base/clock.ts';

import { progressLine } from './image-progress.ts';

/** Redrawn at most so often. */
const REDRAW_MS = 200;
/** Where there is no terminal: a line of each so often. */
const LINE_MS = 10_000;
/** Of a terminal that does not say how large it is. */
const TERMINAL = { columns: 80, rows: 24 };

/** Where bars are drawn: a terminal, or anything else. */
export interface BarStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** How far something has come. */
export interface Step {
  /** One thing has one label from beginning to end. */
  readonly label: string;
  /** Null: it waits for its turn. */
  readonly doneBytes: number | null;
  /** Null: nobody knows. */
  readonly totalBytes: number | null;
  /** Said after it. */
  readonly note?: string;
}

interface Shown {
  readonly startedMs: number;
  /** Of which the rate is not: it may have run for long before it was first seen. */
  readonly startedBytes: number | null;
  lineMs: number;
}

/** Progress bars of one or of several things: redrawn in place on a terminal, plain lines now and then anywhere else. */
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
    if (this.#stream.isTTY === true) this.#draw(steps, nowMs);
    else this.#tell(steps, nowMs);
  }

  [Symbol.dispose](): void {
    this.#stream.write(this.#clearing());
    this.#lineCount = 0;
  }

  #draw(steps: readonly Step[], nowMs: number): void {
    if (nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    const { columns = TERMINAL.columns, rows = TERMINAL.rows } = this.#stream;
    // What is longer than the terminal could not be drawn over.
    const countMax = Math.max(1, rows - 2);
    const lines = steps.slice(0, countMax).map((step) => this.#line(step, nowMs));
    if (steps.length > countMax) lines.push(`and ${steps.length - countMax} more`);
    const text = lines.map((line) => line.slice(0, Math.max(1, columns - 1))).join('\n');
    this.#stream.write(`${this.#clearing()}${text}`);
    this.#lineCount = lines.length;
  }

  #tell(steps: readonly Step[], nowMs: number): void {
    for (const step of steps) {
      const shown = this.#of(step, nowMs);
      if (nowMs - shown.lineMs < LINE_MS) continue;
      shown.lineMs = nowMs;
      this.#stream.write(`${this.#line(step, nowMs)}\n`);
    }
  }

  /** The last line has no end, so that what others write after it stays. */
  #clearing(): string {
    if (this.#lineCount === 0) return '';
    return `\r${this.#lineCount > 1 ? `\u001B[${this.#lineCount - 1}A` : ''}\u001B[J`;
  }

  #line(step: Step, nowMs: number): string {
    const { startedMs, startedBytes } = this.#of(step, nowMs);
    const { label, doneBytes, totalBytes, note = '' } = step;
    if (doneBytes === null) return `${label}  waits for its turn${note}`;
    return `${progressLine(label, doneBytes, totalBytes, nowMs - startedMs, startedBytes ?? 0)}${note}`;
  }

  #of({ label, doneBytes }: Step, nowMs: number): Shown {
    const known = this.#shown.get(label);
    if (known !== undefined && (known.startedBytes !== null || doneBytes === null)) return known;
    const shown: Shown = { startedMs: nowMs, startedBytes: doneBytes, lineMs: known?.lineMs ?? nowMs };
    this.#shown.set(label, shown);
    return shown;
  }
}

/** How far one thing has come, from zero on: a bar on a terminal, a plain line now and then elsewhere. */
export class Progress implements Disposable {
  readonly #bars: Bars;
  readonly #label: string;
  /** Null: nobody knows. */
  readonly #totalBytes: number | null;

  constructor(options: {
    readonly label: string;
    readonly totalBytes: number | null;
    readonly clock: Clock;
    readonly stream?: BarStream;
  }) {
    this.#bars = new Bars(options.clock, options.stream);
    this.#label = options.label;
    this.#totalBytes = options.totalBytes;
    this.at(0);
  }

  /** How far it has come: bytes from the beginning. */
  at(bytes: number): void {
    this.#bars.show([{ label: this.#label, doneBytes: bytes, totalBytes: this.#totalBytes }]);
  }

  /** Takes the bar away. */
  [Symbol.dispose](): void {
    this.#bars[Symbol.dispose]();
  }
}

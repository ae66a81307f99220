import type { Clock } from '#base/clock.ts';
import type { VerifyProgress } from '#snapshot/verify-report.ts';

import { Progress, progressLine } from './image-progress.ts';

/** Where it is not drawn on a terminal, a line so often. */
const LINE_MS = 10_000;

const LABELS = {
  packs: 'reading packs',
  chunks: 'reading chunks',
  trees: 'walking trees',
} as const satisfies Record<VerifyProgress['phase'], string>;

/** How far a verification is: a bar on a terminal, now and then a plain line elsewhere. */
export class VerifyMeter implements Disposable {
  readonly #clock: Clock;
  readonly #stream: NodeJS.WriteStream;
  #phase: VerifyProgress['phase'] | null = null;
  #bar: Progress | null = null;
  #startedMs = 0;
  #startBytes = 0;
  #toldMs: number;

  constructor(options: { readonly clock: Clock; readonly stream: NodeJS.WriteStream }) {
    this.#clock = options.clock;
    this.#stream = options.stream;
    this.#toldMs = options.clock.monotonicMs();
  }

  at({ phase, doneBytes, totalBytes, damageCount }: VerifyProgress): void {
    const nowMs = this.#clock.monotonicMs();
    if (phase !== this.#phase) {
      this.#bar?.[Symbol.dispose]();
      this.#phase = phase;
      this.#startedMs = nowMs;
      this.#startBytes = doneBytes;
      const label = LABELS[phase];
      const bytes = phase === 'trees' ? null : totalBytes - doneBytes;
      this.#bar = new Progress({ label, totalBytes: bytes, clock: this.#clock, stream: this.#stream });
    }
    const bytes = doneBytes - this.#startBytes;
    this.#bar?.at(bytes);
    if (this.#stream.isTTY || nowMs - this.#toldMs < LINE_MS) return;
    this.#toldMs = nowMs;
    const found = damageCount === 0 ? '' : `, damages so far: ${damageCount}`;
    const all = phase === 'trees' ? null : totalBytes - this.#startBytes;
    this.#stream.write(`${progressLine(LABELS[phase], bytes, all, nowMs - this.#startedMs)}${found}\n`);
  }

  [Symbol.dispose](): void {
    this.#bar?.[Symbol.dispose]();
  }
}

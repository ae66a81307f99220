import type { Clock } from '#base/clock.ts';
import type { VerifyProgress } from '#snapshot/verify-report.ts';

import { Bars, type BarStream } from './bars.ts';

const LABELS = {
  packs: 'reading packs',
  chunks: 'reading chunks',
  trees: 'walking trees',
} as const satisfies Record<VerifyProgress['phase'], string>;

/** How far a verification is: each of its phases from zero on, with what was found so far. */
export class VerifyMeter implements Disposable {
  readonly #bars: Bars;
  #phase: VerifyProgress['phase'] | null = null;
  #startBytes = 0;

  constructor(options: { readonly clock: Clock; readonly stream: BarStream }) {
    this.#bars = new Bars(options.clock, options.stream);
  }

  at({ phase, doneBytes, totalBytes, damageCount }: VerifyProgress): void {
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#startBytes = doneBytes;
    }
    this.#bars.show([
      {
        label: LABELS[phase],
        doneBytes: doneBytes - this.#startBytes,
        totalBytes: phase === 'trees' ? null : totalBytes - this.#startBytes,
        note: damageCount === 0 ? '' : `, damages so far: ${damageCount}`,
      },
    ]);
  }

  [Symbol.dispose](): void {
    this.#bars[Symbol.dispose]();
  }
}

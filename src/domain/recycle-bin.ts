/** When a deleted resource came into the recycle bin, and when it is deleted for good. */
export interface Binned {
  readonly enteredAtMs: number;
  readonly exitAtMs: number;
}

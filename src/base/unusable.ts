/** What this process stands on is lost to it, and only a new process can go on: whoever hears of it ends in order. */
export class UnusableError extends Error {
  override readonly name = 'UnusableError';
}

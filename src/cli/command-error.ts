/** What a command could not do, in words for whoever typed it: what happened, and what to do next. Exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

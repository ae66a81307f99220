/** Whether the error, or what caused it, is a full disk or an exhausted quota. */
export function isNoSpace(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT')) return true;
    // SQLITE_FULL, as node:sqlite reports it.
    if ('errcode' in cause && cause.errcode === 13) return true;
  }
  return false;
}

/**
 * - `damaged`: what is stored contradicts itself, or leads outside of the device
 * - `unsupported`: it is something else than what can be read here, or uses something that cannot
 * - `not-found`, `not-a-directory`, `not-a-file`: of a path
 */
export type FileSystemTrouble = 'damaged' | 'unsupported' | 'not-found' | 'not-a-directory' | 'not-a-file';

/** Why a file system, or something in it, cannot be read, in words. An image is never trusted: whatever it holds, nothing worse than this comes of it. */
export class FileSystemError extends Error {
  override readonly name = 'FileSystemError';
  readonly trouble: FileSystemTrouble;

  constructor(trouble: FileSystemTrouble, message: string, options?: ErrorOptions) {
    super(message, options);
    this.trouble = trouble;
  }
}

export function damaged(message: string): FileSystemError {
  return new FileSystemError('damaged', message);
}

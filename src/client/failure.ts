import { ClientError } from './command.ts';

/** What the AWS command line exits with for everything but a line that it does not understand. */
export const EXIT_FAILURE = 255;

/** An error as the AWS command line writes most of them: after an empty line. */
export function failure(message: string): ClientError {
  return new ClientError(`\n${message}\n`, EXIT_FAILURE);
}

/** The few errors that come without the empty line. */
export function bareFailure(message: string): ClientError {
  return new ClientError(`${message}\n`, EXIT_FAILURE);
}

/** What Python says of the errors that a file can have. */
const osErrorWords = new Map([
  ['ENOENT', 'No such file or directory'],
  ['EACCES', 'Permission denied'],
  ['EPERM', 'Operation not permitted'],
  ['EISDIR', 'Is a directory'],
  ['ENOTDIR', 'Not a directory'],
  ['ENOSPC', 'No space left on device'],
  ['EROFS', 'Read-only file system'],
  ['EFBIG', 'File too large'],
]);

/** The error of a system call as Python words it: `[Errno 2] No such file or directory`. */
export function osErrorText(error: unknown): string {
  const { errno, code = '', message } = error as NodeJS.ErrnoException;
  return errno === undefined ? message : `[Errno ${Math.abs(errno)}] ${osErrorWords.get(code) ?? message}`;
}

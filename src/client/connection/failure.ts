import { ClientError } from '#client/command.ts';

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

/** The error of a system call as Python words it: `[Errno 2] No such file or directory`. */
export function osErrorText(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  const [, words = message] = /^\w+: (.*?)(?:, \w+.*)?$/.exec(message) ?? [];
  const sentence = words.slice(0, 1).toUpperCase() + words.slice(1);
  return errno === undefined ? message : `[Errno ${Math.abs(errno)}] ${sentence}`;
}

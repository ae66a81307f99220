import { describeError } from '#base/log.ts';

/** What the system's errors mean, for a person. The code stays behind it, to be looked up. */
const MEANINGS = new Map([
  ['EACCES', 'this user may not (permission denied)'],
  ['EADDRINUSE', 'another program listens there'],
  ['EADDRNOTAVAIL', 'this machine has no such address'],
  ['EAI_AGAIN', 'nobody can say now where that host is'],
  ['EBUSY', 'it is in use'],
  ['ECONNREFUSED', 'nobody listens there'],
  ['ECONNRESET', 'the other side ended the connection'],
  ['EDQUOT', 'the disk quota is used up'],
  ['EEXIST', 'it is there already'],
  ['EFBIG', 'the file would be too large for this file system'],
  ['EIO', 'the disk fails'],
  ['EISDIR', 'it is a directory'],
  ['ELOOP', 'it is a circle of symbolic links'],
  ['EMFILE', 'too many files are open (see ulimit -n)'],
  ['ENAMETOOLONG', 'the name is too long'],
  ['ENOENT', 'there is no such file or directory'],
  ['ENOSPC', 'the disk is full'],
  ['ENOTDIR', 'a part of the path is no directory'],
  ['ENOTEMPTY', 'the directory is not empty'],
  ['ENOTFOUND', 'there is no such host'],
  ['EPERM', 'this user may not (operation not permitted)'],
  ['EPIPE', 'whoever read the output is gone'],
  ['EROFS', 'the file system is read-only'],
  ['ETIMEDOUT', 'it took too long'],
]);

/** `ENOENT: no such file or directory, open '/x/y'`, as Node writes what a call to the system answered. */
const OF_FILES = /\b(E[A-Z0-9]+): [a-z][a-z ,()/-]*?, [a-z]+(?: '([^']*)'(?: -> '([^']*)')?)?/g;
/** `listen EADDRINUSE: address already in use 127.0.0.1:80`, `connect ECONNREFUSED /x/y.sock`, `getaddrinfo ENOTFOUND name`. */
const OF_NETWORK = /\b(?:listen|connect|bind|getaddrinfo|read|write) (E[A-Z0-9_]+)(?:: [a-z][a-z ]*[a-z])?(?: (\S+))?/g;

/** An error and its causes as one line for a person: what the system said is put in words. */
export function plainError(error: unknown): string {
  return plainWords(describeError(error));
}

/** The same for a text. What is not known stays as it is. */
export function plainWords(text: string): string {
  const inWords = (whole: string, code: string, ...subjects: readonly unknown[]): string => {
    const meaning = MEANINGS.get(code);
    if (meaning === undefined) return whole;
    const subject = subjects.filter((one) => typeof one === 'string' && one !== '').join(' to ');
    return `${subject === '' ? '' : `${subject}: `}${meaning} (${code})`;
  };
  return text
    .replace(OF_FILES, (whole, code: string, from: unknown, to: unknown) => inWords(whole, code, from, to))
    .replace(OF_NETWORK, (whole, code: string, subject: unknown) => inWords(whole, code, subject));
}

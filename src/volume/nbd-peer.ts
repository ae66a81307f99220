import { fstatSync, readFileSync, writeSync } from 'node:fs';

const NOTHING = new Uint8Array();
/** The socket's inode in a line of /proc/net/tcp, and its state. */
const INODE_FIELD = 9;
const STATE_FIELD = 3;
const CLOSE_WAIT = '08';

/**
 * Whether the other side of a connection is gone, although what it sent before has not been read: the end of input is only
 * seen behind that. A write of nothing fails when the connection is broken, and on a unix socket also when the peer has
 * closed it; otherwise it does nothing. That a peer closed a TCP connection, Linux tells in a file, which takes
 * milliseconds to read; elsewhere nobody can say, and the answer is false.
 */
export function peerIsGone(fd: number, kind: 'unix' | 'tcp'): boolean {
  try {
    writeSync(fd, NOTHING);
    return kind === 'tcp' && isClosing(fd);
  } catch (error) {
    return error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ECONNRESET');
  }
}

function isClosing(fd: number): boolean {
  const inode = String(fstatSync(fd).ino);
  return ['/proc/net/tcp', '/proc/net/tcp6'].some((path) =>
    readFileSync(path, 'latin1')
      .split('\n')
      .some((line) => {
        const fields = line.trim().split(/\s+/);
        return fields[INODE_FIELD] === inode && fields[STATE_FIELD] === CLOSE_WAIT;
      }),
  );
}

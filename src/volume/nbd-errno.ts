import { AssertionError } from '#base/assert.ts';
import type { Log } from '#base/log.ts';
import { DeviceError } from '#block/device.ts';
import { ERRNO, type Errno } from '#wire/nbd/constants.ts';

/** What a client is told of a device's trouble. A broken invariant is not its business: that is thrown on. */
export function errnoOf(error: unknown, log: Log): Errno {
  if (error instanceof AssertionError) throw error;
  if (error instanceof DeviceError) {
    if (error.errno === 'EIO') log.warn('nbd.device-error', { error });
    return ERRNO[error.errno];
  }
  log.error('nbd.unexpected-error', { error });
  return ERRNO.EIO;
}

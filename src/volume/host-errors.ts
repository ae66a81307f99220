import { AssertionError } from '#base/assert.ts';
import { describeError } from '#base/log.ts';
import { isNoSpace } from '#base/no-space.ts';
import { DeviceError } from '#block/device.ts';
import { StoreError } from '#chunk/errors.ts';

import { VolumeHostError, type VolumeHostErrorKind } from './host.ts';

/** Does the work; its trouble comes out as VolumeHostError. Broken invariants go through: they stop the process. */
export async function asHostErrors<R>(doing: string, work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    throw toHostError(doing, error);
  }
}

/** Says in the port's words what went wrong; `doing` names the work. */
export function toHostError(doing: string, error: unknown): VolumeHostError | AssertionError {
  if (error instanceof VolumeHostError || error instanceof AssertionError) return error;
  return new VolumeHostError(kindOf(error), `${doing}: ${describeError(error)}`, { cause: error });
}

function kindOf(error: unknown): VolumeHostErrorKind {
  // The innermost reason decides: an I/O error of a device may be a damaged chunk of its origin.
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof VolumeHostError) return cause.kind;
    if (cause instanceof StoreError) return cause.kind;
    if (cause instanceof DeviceError && cause.errno !== 'EIO') return DEVICE_KINDS[cause.errno];
  }
  return isNoSpace(error) ? 'no-space' : 'internal';
}

const DEVICE_KINDS = {
  ENOSPC: 'no-space',
  ENOTSUP: 'internal',
  EPERM: 'fenced',
  ESHUTDOWN: 'unavailable',
} satisfies Record<string, VolumeHostErrorKind>;

import type { BlockDevice } from '#block/device.ts';

import { damaged } from './file-system-error.ts';

/** Bytes that can be read anywhere: a disk, a partition, a disk with its journal replayed. */
export interface ByteReader {
  readonly sizeBytes: number;
  /** Exactly these bytes; shared, not to be written to. Throws FileSystemError (`damaged`) for what is not inside [0, sizeBytes). */
  read(offset: number, length: number): Promise<Buffer>;
}

/** A device as a reader. */
export function deviceReader(device: Pick<BlockDevice, 'sizeBytes' | 'read'>): ByteReader {
  return {
    sizeBytes: device.sizeBytes,
    read: async (offset, length) => {
      checkInside(device.sizeBytes, offset, length);
      const target = Buffer.allocUnsafe(length);
      await device.read(offset, target);
      return target;
    },
  };
}

/** The bytes [offset, offset + length) of a reader; cut where that ends. */
export function windowOf(reader: ByteReader, offset: number, length: number): ByteReader {
  const sizeBytes = Math.max(0, Math.min(length, reader.sizeBytes - offset));
  return {
    sizeBytes,
    read: async (at, count) => {
      checkInside(sizeBytes, at, count);
      return await reader.read(offset + at, count);
    },
  };
}

export function checkInside(sizeBytes: number, offset: number, length: number): void {
  const isInside = Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset + length <= sizeBytes;
  if (!isInside) throw damaged(`it refers to ${length} bytes at ${offset}, and there are only ${sizeBytes} bytes`);
}

import { open, rm, stat, truncate } from 'node:fs/promises';

import { writeFileAtomic } from '#base/atomic-file.ts';

/** A guest writes as much as it likes: a longer log is cut to its end. */
const LOG_BYTES_MAX = 4 * 1024 * 1024;
const KEPT_BYTES = 1024 * 1024;

/**
 * What a guest wrote to its serial console. QEMU appends to the file at `path`; when that grows too long, its end moves to
 * `<path>.old`, and QEMU goes on at the start. What it writes in that moment may be lost.
 */
export async function trimConsole(path: string): Promise<void> {
  const sizeBytes = await sizeOf(path);
  if (sizeBytes <= LOG_BYTES_MAX) return;
  await writeFileAtomic(oldOf(path), await tail(path, KEPT_BYTES));
  await truncate(path, 0);
}

/** The last `bytesMax` bytes; empty when there are none. */
export async function consoleTail(path: string, bytesMax: number): Promise<Buffer> {
  const recent = await tail(path, bytesMax);
  if (recent.length === bytesMax) return recent;
  return Buffer.concat([await tail(oldOf(path), bytesMax - recent.length), recent]);
}

export async function removeConsole(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(oldOf(path), { force: true });
}

function oldOf(path: string): string {
  return `${path}.old`;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

async function tail(path: string, bytesMax: number): Promise<Buffer> {
  const sizeBytes = await sizeOf(path);
  const wanted = Math.min(sizeBytes, bytesMax);
  if (wanted <= 0) return Buffer.alloc(0);
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted), 0, wanted, sizeBytes - wanted);
  return buffer.subarray(0, bytesRead);
}

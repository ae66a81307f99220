import { cp, mkdir, open, readdir, rm, stat, truncate, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { SeededRandom } from '#base/random.ts';
import { GIB_BYTES } from '#domain/geometry.ts';
import { runOk } from '../run.ts';

const BLOCK_BYTES = 4096;
/** Of the image's size, in real files. */
const FILLED = 0.625;
/** Where the files come from, in this order until there are enough. */
const SOURCES = ['/usr/bin', '/usr/share', '/usr/lib'];

/** An ext4 file system of so many GiB, five eighths of it files of this machine's /usr. */
export async function makeImage(directory: string, sizeGib: number): Promise<string> {
  const tree = join(directory, 'tree');
  await mkdir(tree, { recursive: true });
  let left = sizeGib * GIB_BYTES * FILLED;
  for (const source of SOURCES) left = await copySome(source, join(tree, source.replaceAll('/', '_')), left);
  const image = join(directory, 'image');
  await (await open(image, 'w')).close();
  await truncate(image, sizeGib * GIB_BYTES);
  await runOk('/sbin/mke2fs', ['-q', '-F', '-t', 'ext4', '-E', 'root_owner=0:0', '-d', tree, image]);
  await rm(tree, { recursive: true });
  return image;
}

/** Copies what fits of a directory; answers how many bytes are left to copy. */
async function copySome(from: string, to: string, bytesLeft: number): Promise<number> {
  let left = bytesLeft;
  await mkdir(to, { recursive: true });
  for (const entry of (await readdir(from, { withFileTypes: true })).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (left <= 0) return 0;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) left = await copySome(source, target, left).catch(() => left);
    if (!entry.isFile()) continue;
    const { size } = await stat(source);
    // Files that only root may read are left out.
    const isCopied = await cp(source, target).then(
      () => true,
      () => false,
    );
    if (isCopied) left -= size;
  }
  return left;
}

/** One changed block. */
export interface Change {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** So many of the image's blocks at random places, with random content, as a database leaves them. */
export function randomChanges(sizeBytes: number, share: number, seed: number): readonly Change[] {
  const random = new SeededRandom(seed);
  const blockCount = sizeBytes / BLOCK_BYTES;
  const blocks = new Set<number>();
  while (blocks.size < Math.floor(blockCount * share)) blocks.add(random.below(blockCount));
  return [...blocks].map((block) => ({ offset: block * BLOCK_BYTES, bytes: random.bytes(BLOCK_BYTES) }));
}

export async function writeChanges(image: string, changes: readonly Change[]): Promise<void> {
  const file: FileHandle = await open(image, 'r+');
  try {
    for (const { offset, bytes } of changes) await file.write(bytes, 0, bytes.length, offset);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Bytes of all files below. */
export async function treeBytes(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

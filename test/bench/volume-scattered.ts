import { systemRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { NbdClient } from '#src/cli/image-nbd-client.ts';

const IN_FLIGHT = 16;

/** Writes `count` blocks of random bytes at equal distances over a volume, each at the beginning of a chunk, and flushes. */
export async function writeScattered(
  uri: string,
  options: { readonly sizeBytes: number; readonly count: number; readonly blockBytes: number },
): Promise<void> {
  const { sizeBytes, count, blockBytes } = options;
  await using client = await NbdClient.connect(uri);
  const chunkCount = sizeBytes / CHUNK_BYTES;
  let next = 0;
  const work = async (): Promise<void> => {
    const block = systemRandom.bytes(blockBytes);
    for (let at = next; at < count; at = next) {
      next += 1;
      block.writeUInt32LE(at); // No two alike.
      await client.write(Math.floor((at * chunkCount) / count) * CHUNK_BYTES, block);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  await client.flush();
}

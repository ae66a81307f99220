import { existsSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import { systemClock } from '#base/clock.ts';
import { describeError } from '#base/log.ts';
import { GIB_BYTES } from '#domain/geometry.ts';

import { Progress } from './bars.ts';
import { CommandError } from './command-error.ts';
import { addressOf } from './export.ts';
import { copyImage, type ImageRange, type ImageSource, nonZeroRuns, piecesOf } from './image-copy.ts';
import { formatOfName } from './image-format.ts';
import { Interrupt } from './image-interrupt.ts';
import { NbdClient } from './image-nbd-client.ts';
import { formatBytes } from './image-progress.ts';
import { runQemuImg } from './image-qemu.ts';
import { standardInputBytes } from './image-write.ts';
import { type ImageFormat, looksLike, parseImageInfo, refuseReferences } from './import-format.ts';
import { type DiskService, Ec2Service, LightsailService, type NewDisk } from './import-server.ts';
import { ServerApi } from './server-api.ts';
import { watchSnapshots } from './snapshot-watch.ts';

/** Read, and written, at once. */
const PIECE_BYTES = 1024 * 1024;
/** Writes that are under way at once. */
const WRITES_MAX = 8;
const LABEL = 'importing';
/** A removal is tried again for so long, so often. */
const REMOVE_MS_MAX = 5000;
const REMOVE_PAUSE_MS = 100;

export interface ImportWish {
  /** `-`: standard input. */
  readonly path: string;
  readonly name: string;
  /** Null: by the path's name. */
  readonly format: ImageFormat | null;
  readonly service: 'ec2' | 'lightsail';
  readonly sizeGib: number | null;
  /** Null: no snapshot. */
  readonly snapshotName: string | null;
  readonly removesDisk: boolean;
  /** What was made as one object, in place of lines. */
  readonly json: boolean;
  readonly region: string | undefined;
  readonly data: string | undefined;
}

interface Image {
  readonly format: ImageFormat;
  /** Null: standard input. */
  readonly path: string | null;
  /** Null: nobody knows before its end. */
  readonly sizeBytes: number | null;
}

/** Makes a disk, fills it, and removes it again when that fails. Says on standard output what it made; answers the id of the snapshot, where one was wished. */
export async function runImport(wish: ImportWish): Promise<string | null> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const image = await openImage(wish, signal);
  const api = await ServerApi.find({ data: wish.data });
  const region = wish.region ?? api.region;
  const service = wish.service === 'ec2' ? new Ec2Service(api, region) : new LightsailService(api, region);
  const sizeGib = sizeFor(image, wish.sizeGib, service);
  // Before a copy that may take hours.
  if (wish.snapshotName !== null) await service.checkSnapshotName(wish.snapshotName, wish.name);
  const disk = await service.create(wish.name, sizeGib);
  let writtenBytes: number | null;
  try {
    writtenBytes = await fill(disk, image, sizeGib, { data: wish.data, signal });
  } catch (error) {
    throw await undone(service, disk, error);
  }
  const say = (line: string): void => {
    if (!wish.json) process.stdout.write(`${line}\n`);
  };
  const size = image.sizeBytes === null ? '' : ` of ${formatBytes(image.sizeBytes)}`;
  const sent = writtenBytes === null ? '' : ` (${formatBytes(writtenBytes)} sent, the rest is zeros)`;
  say(`${wish.name}: ${service.noun} ${disk.id}, ${sizeGib} GiB, from a ${image.format} image${size}${sent}`);
  let snapshot: string | null = null;
  if (wish.snapshotName !== null) {
    snapshot = await takeSnapshot(service, disk, wish, signal);
    say(`${wish.snapshotName}: snapshot ${snapshot}`);
    if (wish.removesDisk) {
      await removeDisk(service, disk);
      say(`${wish.name}: removed; its snapshot stays`);
    }
  }
  if (wish.json) {
    const made = { id: disk.id, name: wish.name, sizeGib, format: image.format, imageBytes: image.sizeBytes };
    const isKept = snapshot === null || !wish.removesDisk;
    process.stdout.write(`${JSON.stringify({ ...made, sentBytes: writtenBytes, isKept, snapshot }, null, 2)}\n`);
  }
  return snapshot;
}

async function takeSnapshot(
  service: DiskService,
  disk: NewDisk,
  { data, snapshotName }: ImportWish,
  signal: AbortSignal,
): Promise<string> {
  try {
    const id = await service.snapshot(disk, snapshotName ?? disk.label);
    await watchSnapshots({ data }, [id], { json: false, signal });
    return id;
  } catch (error) {
    throw new CommandError(
      `the snapshot ${snapshotName} was not seen to complete; ${disk.label} holds the whole image and stays`,
      { cause: error },
    );
  }
}

/** Finds out what the image is, and refuses what must not or cannot be read, before anything is made. */
async function openImage(wish: ImportWish, signal: AbortSignal): Promise<Image> {
  if (wish.path === '-') {
    if (process.stdin.isTTY)
      throw new CommandError('a disk image does not come from a terminal: redirect standard input');
    const sizeBytes = standardInputBytes();
    if (sizeBytes === 0) throw new CommandError('standard input is empty');
    return { format: 'raw', path: null, sizeBytes };
  }
  // Absolute, so that no name of a file is taken for an address or an option.
  const path = resolve(wish.path);
  if (!existsSync(path)) throw new CommandError(`there is no file ${path}`);
  const found = await stat(path);
  if (!found.isFile()) throw new CommandError(`${path} is no regular file; a stream can be given as "-"`);
  const format = wish.format ?? readableFormat(path);
  if (format !== 'raw') {
    await refuseReferences(path, format);
    const info = await runQemuImg(['info', '-f', format, '--output=json', path], { signal });
    return { format, path, ...parseImageInfo(path, info) };
  }
  const guess = wish.format === null ? await looksLike(path) : null;
  if (guess !== null) {
    throw new CommandError(
      `${path} begins like a ${guess} image: say --format ${guess}, or --format raw if it is a disk's bytes`,
    );
  }
  if (found.size === 0) throw new CommandError(`${path} is empty`);
  return { format, path, sizeBytes: found.size };
}

/** By the file's name. Throws CommandError for a format that is written only. */
function readableFormat(path: string): ImageFormat {
  const named = formatOfName(path) ?? 'raw';
  if (named === 'raw' || named === 'qcow2' || named === 'vmdk') return named;
  throw new CommandError(
    `${path} is a ${named} image by its name, and raw, qcow2 and vmdk are read. Make it one of these first: ` +
      `qemu-img convert -O qcow2 OLD NEW; or say --format raw if it is a disk's bytes`,
  );
}

function sizeFor(image: Image, wishedGib: number | null, service: DiskService): number {
  if (image.sizeBytes === null) {
    if (wishedGib === null) throw new CommandError('how large is it? Standard input is a pipe: say --size-in-gb N');
    return wishedGib;
  }
  const sizeGib = Math.max(Math.ceil(image.sizeBytes / GIB_BYTES), service.sizeGibMin);
  if (wishedGib === null) return sizeGib;
  if (wishedGib * GIB_BYTES >= image.sizeBytes) return wishedGib;
  throw new CommandError(
    `the image is of ${formatBytes(image.sizeBytes)}, which --size-in-gb ${wishedGib} does not hold`,
  );
}

/** Writes the image to the disk, durably; answers how many bytes were sent; null where qemu-img sent them. */
async function fill(
  disk: NewDisk,
  image: Image,
  sizeGib: number,
  options: { readonly data: string | undefined; readonly signal: AbortSignal },
): Promise<number | null> {
  const { uri } = await addressOf(options.data, disk.id);
  await using client = await NbdClient.connect(uri);
  if (client.sizeBytes !== sizeGib * GIB_BYTES) {
    throw new CommandError(`${disk.label} has ${client.sizeBytes} bytes instead of ${sizeGib} GiB`);
  }
  using progress = new Progress({ label: LABEL, totalBytes: image.sizeBytes, clock: systemClock });
  let writtenBytes: number | null;
  if (image.format !== 'raw' && image.path !== null && image.sizeBytes !== null) {
    const { sizeBytes } = image;
    // A disk that was just made is zeros all over.
    const args = ['convert', '-p', '-n', '--target-is-zero', '-f', image.format, '-O', 'raw', image.path, uri];
    await runQemuImg(args, {
      signal: options.signal,
      onPercent: (percent) => progress.at((percent / 100) * sizeBytes),
    });
    writtenBytes = null;
  } else writtenBytes = await fillRaw(client, image, progress, options.signal);
  // qemu-img does not flush what it converts; a flush covers what every connection wrote.
  await client.flush();
  options.signal.throwIfAborted();
  return writtenBytes;
}

async function fillRaw(client: NbdClient, image: Image, progress: Progress, signal: AbortSignal): Promise<number> {
  const writer = new NbdWriter(client);
  const onProgress = (bytes: number): void => progress.at(bytes);
  if (image.path === null || image.sizeBytes === null) {
    await writer.copyStream(process.stdin, { sizeBytes: image.sizeBytes, signal, onProgress });
  } else {
    await using file = await open(image.path, 'r');
    await copyImage(await fileSource(file, image.path, image.sizeBytes, signal), writer, { signal, onProgress });
  }
  await writer.drain();
  return writer.writtenBytes;
}

/** A disk as the target of a copy; several writes are under way at once. */
class NbdWriter {
  readonly #client: NbdClient;
  readonly #running = new Set<Promise<void>>();
  #failure: unknown = null;
  writtenBytes = 0;

  constructor(client: NbdClient) {
    this.#client = client;
  }

  /** `bytes` must not change before `drain`. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    while (this.#running.size >= WRITES_MAX) await Promise.race(this.#running);
    if (this.#failure !== null) throw this.#failure;
    this.writtenBytes += bytes.length;
    const running: Promise<void> = this.#client
      .write(offset, bytes)
      .catch((error: unknown) => void (this.#failure ??= error))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async drain(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== null) throw this.#failure;
  }

  /** Copies a stream to its end, which must be where `sizeBytes` says, or anywhere on the disk when that is null. */
  async copyStream(
    stream: NodeJS.ReadStream,
    options: {
      readonly sizeBytes: number | null;
      readonly signal: AbortSignal;
      readonly onProgress: (bytes: number) => void;
    },
  ): Promise<void> {
    const stop = (): void => void stream.destroy();
    options.signal.addEventListener('abort', stop, { once: true });
    let offset = 0;
    try {
      for await (const piece of inPieces(stream)) {
        options.signal.throwIfAborted();
        if (offset + piece.length > this.#client.sizeBytes) {
          throw new CommandError(`the image on standard input is larger than the disk: say a larger --size-in-gb`);
        }
        for (const run of nonZeroRuns(piece)) await this.write(offset + run.start, run.bytes);
        options.onProgress((offset += piece.length));
      }
    } catch (error) {
      options.signal.throwIfAborted();
      throw error;
    } finally {
      options.signal.removeEventListener('abort', stop);
    }
    options.signal.throwIfAborted();
    if (offset === 0) throw new CommandError('standard input is empty');
    if (options.sizeBytes !== null && offset !== options.sizeBytes) {
      throw new CommandError(`standard input ended after ${offset} of ${options.sizeBytes} bytes`);
    }
  }
}

/** A stream cut into pieces of one size, the last smaller, each in memory of its own. */
async function* inPieces(stream: AsyncIterable<Buffer | string>): AsyncGenerator<Buffer> {
  let piece = Buffer.allocUnsafe(PIECE_BYTES);
  let filled = 0;
  for await (const received of stream) {
    const bytes = typeof received === 'string' ? Buffer.from(received) : received;
    for (let at = 0; at < bytes.length;) {
      const count = bytes.copy(piece, filled, at);
      at += count;
      filled += count;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      piece = Buffer.allocUnsafe(PIECE_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

/** A raw file. Where it has many holes, qemu-img (if there is one) is asked where: reading terabytes of nothing takes long. */
async function fileSource(
  file: Awaited<ReturnType<typeof open>>,
  path: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<ImageSource> {
  const whole: readonly ImageRange[] = [{ offset: 0, length: sizeBytes }];
  const isSparse = (await file.stat()).blocks * 512 < sizeBytes / 2;
  const ranges = isSparse ? ((await mapOf(path, sizeBytes, signal)) ?? whole) : whole;
  return {
    sizeBytes,
    data: () => dataOf(ranges),
    read: async (offset, length) => {
      const target = Buffer.allocUnsafe(length);
      for (let done = 0; done < length;) {
        const { bytesRead } = await file.read(target, done, length - done, offset + done);
        if (bytesRead === 0) throw new CommandError(`${path} became shorter while it was read`);
        done += bytesRead;
      }
      return target;
    },
  };
}

async function mapOf(path: string, sizeBytes: number, signal: AbortSignal): Promise<readonly ImageRange[] | null> {
  try {
    const text = await runQemuImg(['map', '-f', 'raw', '--output=json', path], { signal });
    const extents = JSON.parse(text) as readonly { start: number; length: number; data: boolean; zero: boolean }[];
    // A hole that reads as zeros, and nothing else, is left out.
    const data = extents.filter((extent) => extent.data || !extent.zero);
    return data.map(({ start, length }) => ({ offset: start, length: Math.min(length, sizeBytes - start) }));
  } catch (error) {
    if (signal.aborted) throw error;
    return null; // It only would have been faster.
  }
}

async function* dataOf(ranges: readonly ImageRange[]): AsyncGenerator<ImageRange> {
  for (const { offset, length } of ranges) yield* piecesOf(offset, offset + length, PIECE_BYTES);
}

/** A disk counts as in use until the server has seen that its client is gone. */
async function removeDisk(service: DiskService, disk: NewDisk): Promise<void> {
  const untilMs = systemClock.monotonicMs() + REMOVE_MS_MAX;
  for (;;) {
    try {
      await service.remove(disk);
      return;
    } catch (error) {
      if (systemClock.monotonicMs() > untilMs) throw error;
      await systemClock.sleep(REMOVE_PAUSE_MS);
    }
  }
}

/** Removes a disk that holds half an image; answers the error that says so. */
async function undone(service: DiskService, disk: NewDisk, error: unknown): Promise<CommandError> {
  try {
    await removeDisk(service, disk);
    return new CommandError(`the image was not imported, and the disk ${disk.label} was removed`, { cause: error });
  } catch (trouble) {
    const why = describeError(trouble);
    return new CommandError(`the image was not imported. Remove the disk ${disk.label}: it could not be (${why})`, {
      cause: error,
    });
  }
}

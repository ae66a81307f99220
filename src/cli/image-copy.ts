/** Bytes [offset, offset + length) of an image. */
export interface ImageRange {
  readonly offset: number;
  readonly length: number;
}

/** A disk image that is read: what it holds, and zeros everywhere else. */
export interface ImageSource {
  readonly sizeBytes: number;
  /** Ranges that may hold something, ascending, none longer than a few MiB. */
  data(): AsyncIterable<ImageRange>;
  /** The bytes of a range that `data` answered; shared, do not write to them. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Where an image goes: pieces that are not zeros, ascending. What is between them is zeros. */
export interface ImageSink {
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

/** Reads that are under way while one piece is written. */
const READS_MAX = 8;
/** Zeros are found in pieces of this size: smaller ones cost more in calls than they save in space. */
const ZERO_PIECE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(ZERO_PIECE_BYTES);

/** Copies an image, and leaves out what is zeros. Reads ahead, writes in order. Throws the signal's reason once it is aborted. */
export async function copyImage(
  source: ImageSource,
  sink: ImageSink,
  options: { readonly signal: AbortSignal; readonly onProgress: (bytes: number) => void },
): Promise<void> {
  const reading: { readonly range: ImageRange; readonly bytes: Promise<Uint8Array> }[] = [];
  const writeFirst = async (): Promise<void> => {
    options.signal.throwIfAborted();
    const first = reading.shift();
    if (first === undefined) return;
    const { range, bytes } = first;
    for (const run of nonZeroRuns(await bytes)) await sink.write(range.offset + run.start, run.bytes);
    options.onProgress(range.offset + range.length);
  };
  try {
    for await (const range of source.data()) {
      const bytes = source.read(range.offset, range.length);
      bytes.catch(() => {}); // Heard of in its turn, or not at all when an earlier one failed.
      reading.push({ range, bytes });
      if (reading.length >= READS_MAX) await writeFirst();
    }
    while (reading.length > 0) await writeFirst();
  } finally {
    // Whoever closes the source does so after the last read of it.
    await Promise.allSettled(reading.map(({ bytes }) => bytes));
  }
}

/** The range [offset, end) in pieces. */
export function* piecesOf(offset: number, end: number, pieceBytes: number): Generator<ImageRange> {
  for (let at = offset; at < end; at += pieceBytes) yield { offset: at, length: Math.min(pieceBytes, end - at) };
}

/** The parts of a piece that are not zeros, as large as they come. */
export function* nonZeroRuns(bytes: Uint8Array): Generator<{ readonly start: number; readonly bytes: Uint8Array }> {
  let start = 0;
  for (let at = 0; at < bytes.length; at += ZERO_PIECE_BYTES) {
    const end = Math.min(at + ZERO_PIECE_BYTES, bytes.length);
    if (!isZero(bytes.subarray(at, end))) continue;
    if (start < at) yield { start, bytes: bytes.subarray(start, at) };
    start = end;
  }
  if (start < bytes.length) yield { start, bytes: bytes.subarray(start) };
}

function isZero(piece: Uint8Array): boolean {
  return ZEROS.compare(piece, 0, piece.length, 0, piece.length) === 0;
}

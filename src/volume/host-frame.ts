import { assert } from '#base/assert.ts';

/**
 * A message between control and the volume host: a JSON header and, for a few verbs, bytes.
 *
 *   u32 length of header and payload together · u32 length of the header · header (UTF-8 JSON) · payload
 *
 * Numbers are big-endian. An empty payload is none.
 */
export interface Frame {
  readonly header: unknown;
  readonly payload: Buffer | null;
}

/** One chunk and its header fit; nothing larger crosses the seam, so a broken peer cannot make us hold more. */
export const FRAME_BYTES_MAX = 1024 * 1024;
const PREFIX_BYTES = 8;

/** The other side does not speak this protocol. The connection is of no more use. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** The pieces to write, in order; the payload is not copied. Null when it would be larger than a frame may be. */
export function encodeFrame(header: unknown, payload: Uint8Array | null = null): readonly Uint8Array[] | null {
  const json = Buffer.from(JSON.stringify(header));
  const bodyBytes = json.length + (payload?.length ?? 0);
  if (bodyBytes > FRAME_BYTES_MAX) return null;
  const head = Buffer.allocUnsafe(PREFIX_BYTES + json.length);
  head.writeUInt32BE(bodyBytes, 0);
  head.writeUInt32BE(json.length, 4);
  json.copy(head, PREFIX_BYTES);
  return payload === null || payload.length === 0 ? [head] : [head, payload];
}

/** Cuts a stream of bytes into frames. Holds at most one frame that is not whole yet. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #heldBytes = 0;

  /** The frames that are whole with these bytes. Throws FrameError. The bytes are kept, not copied, until used. */
  push(bytes: Buffer): readonly Frame[] {
    this.#pieces.push(bytes);
    this.#heldBytes += bytes.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#heldBytes < PREFIX_BYTES) return frames;
      const prefix = this.#peek(PREFIX_BYTES);
      const bodyBytes = prefix.readUInt32BE(0);
      const headerBytes = prefix.readUInt32BE(4);
      if (bodyBytes > FRAME_BYTES_MAX || headerBytes > bodyBytes) throw new FrameError('a frame of impossible length');
      if (this.#heldBytes < PREFIX_BYTES + bodyBytes) return frames;
      frames.push(parse(this.#take(PREFIX_BYTES + bodyBytes).subarray(PREFIX_BYTES), headerBytes));
    }
  }

  #peek(count: number): Buffer {
    const first = this.#pieces[0];
    if (first !== undefined && first.length >= count) return first;
    const joined = Buffer.concat(this.#pieces, this.#heldBytes);
    this.#pieces = [joined];
    return joined;
  }

  #take(count: number): Buffer {
    assert(count <= this.#heldBytes, 'only bytes that came are taken');
    // Joined once, when the whole frame is there: a chunk arrives in many pieces.
    const joined = this.#pieces.length === 1 ? this.#peek(count) : Buffer.concat(this.#pieces, this.#heldBytes);
    this.#heldBytes -= count;
    this.#pieces = this.#heldBytes === 0 ? [] : [joined.subarray(count)];
    return joined.subarray(0, count);
  }
}

function parse(body: Buffer, headerBytes: number): Frame {
  const payload = body.subarray(headerBytes);
  try {
    const header: unknown = JSON.parse(body.toString('utf8', 0, headerBytes));
    return { header, payload: payload.length === 0 ? null : payload };
  } catch (error) {
    throw new FrameError('a frame whose header is not JSON', { cause: error });
  }
}

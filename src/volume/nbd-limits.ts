import { assert } from '#base/assert.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { REQUEST_BYTES_MAX } from '#wire/nbd/constants.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** What clients of NBD may cost. Times in milliseconds. */
export interface NbdLimits {
  /** Connections in all; one more takes the place of the oldest of its listener that has not opened an export, or is closed at once. */
  readonly connectionsMax: number;
  /** Connections of one listener that have not opened an export; one more takes the place of the oldest. */
  readonly handshakesMax: number;
  /** Connections that serve one export; one more is refused by name. */
  readonly connectionsPerExportMax: number;
  /** From the connection to the transmission phase. */
  readonly handshakeMs: number;
  readonly optionsMax: number;
  /** Data of one option; longer ends the connection. */
  readonly optionBytesMax: number;
  /** Of requests of one connection that the device works on; over it, no further request is read. */
  readonly inFlightBytesMax: number;
  /** The same for all connections together, with the replies that their clients have not taken. */
  readonly inFlightBytesTotalMax: number;
  /** Memory of replies that the client has not taken yet; over it, no further request is read. */
  readonly unsentBytesMax: number;
  /** A connection that has something to take and takes none of it is cut after this, or up to twice as much. */
  readonly stallMs: number;
  /** How long a connection that ends may take to finish what it began, then it is cut. */
  readonly lingerMs: number;
}

export const NBD_LIMITS: NbdLimits = {
  connectionsMax: 1024,
  handshakesMax: 64,
  connectionsPerExportMax: 64,
  handshakeMs: 10_000,
  optionsMax: 256,
  optionBytesMax: 32 * KIB,
  inFlightBytesMax: 16 * MIB,
  inFlightBytesTotalMax: 64 * MIB,
  unsentBytesMax: 384 * KIB,
  stallMs: 60_000,
  lingerMs: 5_000,
};

/** A READ is answered in pieces of at most this; what fits the processor's cache between the file and the socket. */
export const READ_PIECE_BYTES_MAX = 256 * KIB;
/** A READ that is answered by one message is read whole up to this size; beyond, piece by piece with nothing beside it. */
export const READ_WHOLE_BYTES_MAX = MIB;
/** Reads from this size on are looked up for holes first. */
export const HOLE_LOOKUP_BYTES_MIN = 32 * KIB;
/** A WRITE is carried out in pieces that end where chunks end, so that the device sees whole chunks whole. */
export const WRITE_PIECE_BYTES_MAX = CHUNK_BYTES;
/** A part of such a piece that is worth writing before the rest is there. */
export const WRITE_PART_BYTES_MIN = 64 * KIB;
/** What a request counts at least while it is in flight: bounds how many there are, and what each may pin. */
export const IN_FLIGHT_BYTES_MIN = 16 * KIB;
/** A connection that has less than this in flight is never made to wait for others. */
export const IN_FLIGHT_BYTES_ASSURED = 512 * KIB;
/** Descriptors in one answer to BLOCK_STATUS; the client asks on from where they end. */
export const STATUS_RUNS_MAX = 4096;
/** How far CACHE, which is a hint, is followed. */
export const CACHE_BYTES_MAX = REQUEST_BYTES_MAX;

/** Messages of one connection that are dealt with before others have their turn, when more of it are there. */
export const STEPS_PER_TURN_MAX = 128;

/** Where all connections receive that hold no part of a message. */
export const SHARED_RECEIVE_BYTES = 128 * KIB;
/** Where a connection keeps a part of a message. */
export const LEASE_SMALL_BYTES = 64 * KIB;
/** The same when more came at once than it may begin now: all that the shared buffer holds, and room. */
export const LEASE_MEDIUM_BYTES = SHARED_RECEIVE_BYTES + 32 * KIB;
/** The same while a large WRITE comes in. */
export const LEASE_LARGE_BYTES = MIB;
/** How many connections may have a large lease; others write in smaller pieces meanwhile. */
export const LEASES_LARGE_MAX = 32;
/**
 * Replies are gathered in segments: small ones, which stay in the processor's cache from the file to the socket though
 * several are on their way, and large ones for a piece of a large READ.
 */
export const SEGMENT_BYTES = 68 * KIB;
export const SEGMENT_LARGE_BYTES = READ_PIECE_BYTES_MAX + 4 * KIB;
/** A segment this full is sent without waiting for the end of the batch, so that the client works meanwhile. */
export const SEGMENT_SEND_BYTES = 64 * KIB;

assert(NBD_LIMITS.optionBytesMax <= LEASE_SMALL_BYTES, 'an option fits the smallest lease');
assert(WRITE_PIECE_BYTES_MAX < LEASE_LARGE_BYTES, 'a piece of a write fits a large lease');
assert(IN_FLIGHT_BYTES_ASSURED <= NBD_LIMITS.inFlightBytesMax, 'what is assured is allowed');

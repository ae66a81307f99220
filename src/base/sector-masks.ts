import { assert } from './assert.ts';

/** What is used of it here; the types of Node leave it out. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> };
};

/** What has one row of masks. */
const SECTOR_BYTES = 4096;
/** Sectors masked together: enough that a call of OpenSSL costs little beside them, few enough to stay in the processor's cache. */
export const MASKED_SECTORS_MAX = 16;

const PAGE_BYTES = 65_536;
/** In the module's memory: the sectors, their masks, and a first mask of 16 bytes for each. */
const SECTORS_BYTES = MASKED_SECTORS_MAX * SECTOR_BYTES;
const MASKS_AT = SECTORS_BYTES;
const FIRSTS_AT = 2 * SECTORS_BYTES;
const PAGES = Math.ceil((FIRSTS_AT + MASKED_SECTORS_MAX * 16) / PAGE_BYTES);

/**
 * The masks of XTS: block j of a sector is XORed with the sector's first mask times x^j in GF(2^128). In WebAssembly, for
 * its 128-bit instructions: plain JavaScript takes longer for this than AES takes for the blocks.
 */
export interface SectorMasks {
  /** Where the sectors lie. */
  readonly sectors: Buffer;
  /** The same, as words. */
  readonly words: Int32Array;
  /** Where the first mask of each sector lies, 16 bytes each. */
  readonly firsts: Buffer;
  /** Makes the masks of the first `count` sectors, and XORs them over these. */
  mask(count: number): void;
  /** XORs the masks that were made last over the first `count` sectors again. */
  maskAgain(count: number): void;
}

let made: SectorMasks | null = null;

/** Those of this thread: whoever uses them does so within one call. */
export function sectorMasks(): SectorMasks {
  made ??= make();
  return made;
}

function make(): SectorMasks {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()));
  const memory = exports['memory'] as { readonly buffer: ArrayBuffer };
  const mask = exports['mask'] as (at: number, end: number, firsts: number) => void;
  const maskAgain = exports['maskAgain'] as (at: number, end: number) => void;
  return {
    sectors: Buffer.from(memory.buffer, 0, SECTORS_BYTES),
    words: new Int32Array(memory.buffer, 0, SECTORS_BYTES / 4),
    firsts: Buffer.from(memory.buffer, FIRSTS_AT, MASKED_SECTORS_MAX * 16),
    mask: (count) => {
      assert(count > 0 && count <= MASKED_SECTORS_MAX, 'sectors to mask fit the memory');
      mask(0, count * SECTOR_BYTES, FIRSTS_AT);
    },
    maskAgain: (count) => {
      assert(count > 0 && count <= MASKED_SECTORS_MAX, 'sectors to mask fit the memory');
      maskAgain(0, count * SECTOR_BYTES);
    },
  };
}

/* ── The module, put together instruction by instruction (WebAssembly Core Specification 2.0, chapter 5) ── */

type Code = readonly (number | Code)[];

const I32 = 0x7f;
const I64 = 0x7e;
const V128 = 0x7b;
const VOID = 0x40;
const END = 0x0b;

/** Parameters and local variables of `mask`; `maskAgain` has the first two. */
const AT = 0;
const SECTORS_END = 1;
const FIRSTS = 2;
const RUN_END = 3;
const LOW = 4;
const HIGH = 5;
const CARRY = 6;
const MASKS = 7;

/** A sector's blocks are masked in so many runs at once: the next mask of one run need not wait for that of another. */
const RUNS = 4;
const RUN_BLOCKS = SECTOR_BYTES / 16 / RUNS;
const RUN_BYTES = RUN_BLOCKS * 16;

const get = (local: number): Code => [0x20, local];
const set = (local: number, value: Code): Code => [value, 0x21, local];
const i32Const = (value: number): Code => [0x41, signed(value)];
const i64Const = (value: number): Code => [0x42, signed(value)];
const i32Add = (one: Code, other: Code): Code => [one, other, 0x6a];
const i64Load = (address: Code, offset: number): Code => [address, 0x29, 3, unsigned(offset)];
const i64Xor = (one: Code, other: Code): Code => [one, other, 0x85];
const i64Shl = (value: Code, bits: number): Code => [value, i64Const(bits), 0x86];
const i64ShrU = (value: Code, bits: number): Code => [value, i64Const(bits), 0x88];
const v128Load = (address: Code, offset: number): Code => [address, simd(0), 4, unsigned(offset)];
const v128Store = (address: Code, value: Code, offset: number): Code => [address, value, simd(11), 4, unsigned(offset)];
const v128Const = (bytes: readonly number[]): Code => [simd(12), bytes];
const v128And = (one: Code, other: Code): Code => [one, other, simd(78)];
const v128Xor = (one: Code, other: Code): Code => [one, other, simd(81)];
const i64x2Of = (low: Code, high: Code): Code => [low, simd(18), high, simd(30), 1];
const i64x2Add = (one: Code, other: Code): Code => [one, other, simd(206)];
const i32x4GtS = (one: Code, other: Code): Code => [one, other, simd(59)];
const i8x16Shuffle = (value: Code, bytes: readonly number[]): Code => [value, value, simd(13), bytes];
const repeatWhileLess = (one: number, other: number, body: Code): Code => [
  ...[0x03, VOID, body],
  ...[get(one), get(other), 0x49, 0x0d, 0, END],
];

/** x times what a vector holds: each half is doubled; bit 63 becomes bit 64, and bit 127 is x^7 + x^2 + x + 1. */
function timesX(mask: number): Code {
  // All ones in those lanes of 32 bits whose top bit is lost.
  const lost = i32x4GtS(v128Const(Array.from({ length: 16 }, () => 0)), get(mask));
  // Lanes 3, 0, 1, 2: those of bits 127 and 63 come to where the carries go.
  const turned = i8x16Shuffle(lost, [12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  const carries = v128And(turned, v128Const([0x87, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
  return v128Xor(i64x2Add(get(mask), get(mask)), carries);
}

/** x^64 times what LOW and HIGH hold: the low half becomes the high one, and the high one is folded in at x^7 + x^2 + x + 1. */
function timesX64(): Code {
  const foldLow = [1, 2, 7].reduce((sum, bits) => i64Xor(sum, i64Shl(get(HIGH), bits)), get(HIGH));
  const foldHigh = [1, 2, 7].reduce((sum, bits) => i64Xor(sum, i64ShrU(get(HIGH), 64 - bits)), get(LOW));
  return [set(CARRY, foldHigh), set(LOW, foldLow), set(HIGH, get(CARRY))];
}

function maskBody(): Code {
  assert(RUN_BLOCKS === 64, 'a run begins x^64 after the one before');
  const runs = Array.from({ length: RUNS }, (_, run) => run);
  const begin = runs.map((run) => [set(MASKS + run, i64x2Of(get(LOW), get(HIGH))), run < RUNS - 1 ? timesX64() : []]);
  const step = runs.map((run) => {
    const offset = run * RUN_BYTES;
    const masked = v128Xor(v128Load(get(AT), offset), get(MASKS + run));
    const stored = [v128Store(get(AT), masked, offset), v128Store(get(AT), get(MASKS + run), MASKS_AT + offset)];
    return [stored, set(MASKS + run, timesX(MASKS + run))];
  });
  return repeatWhileLess(AT, SECTORS_END, [
    ...[set(LOW, i64Load(get(FIRSTS), 0)), set(HIGH, i64Load(get(FIRSTS), 8)), begin],
    set(RUN_END, i32Add(get(AT), i32Const(RUN_BYTES))),
    repeatWhileLess(AT, RUN_END, [step, set(AT, i32Add(get(AT), i32Const(16)))]),
    set(AT, i32Add(get(AT), i32Const(SECTOR_BYTES - RUN_BYTES))),
    set(FIRSTS, i32Add(get(FIRSTS), i32Const(16))),
  ]);
}

function maskAgainBody(): Code {
  const step = [0, 16, 32, 48].map((offset) => {
    const masked = v128Xor(v128Load(get(AT), offset), v128Load(get(AT), MASKS_AT + offset));
    return v128Store(get(AT), masked, offset);
  });
  return repeatWhileLess(AT, SECTORS_END, [step, set(AT, i32Add(get(AT), i32Const(64)))]);
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const locals: Code = [3, 1, I32, 3, I64, RUNS, V128];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [2, 0x60, 3, I32, I32, I32, 0, 0x60, 2, I32, I32, 0]),
    ...section(3, [2, 0, 1]),
    ...section(5, [1, 1, PAGES, PAGES]),
    ...section(7, [3, name('memory'), 2, 0, name('mask'), 0, 0, name('maskAgain'), 0, 1]),
    ...section(10, [2, sized([locals, maskBody(), END]), sized([0, maskAgainBody(), END])]),
  ]);
}

function section(id: number, content: Code): readonly number[] {
  return [id, ...sized(content)];
}

function name(text: string): Code {
  return sized([...Buffer.from(text)]);
}

function sized(content: Code): readonly number[] {
  const bytes = flat(content);
  return [...unsigned(bytes.length), ...bytes];
}

function simd(opcode: number): Code {
  return [0xfd, unsigned(opcode)];
}

function flat(code: Code): readonly number[] {
  return code.flatMap((part) => (typeof part === 'number' ? [part] : flat(part)));
}

/** LEB128. */
function unsigned(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): readonly number[] {
  const isLast = value >= -0x40 && value < 0x40;
  return isLast ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}

const POLYNOMIAL_REVERSED = 0x82f63b78;

/** Slicing-by-8 tables: eight bytes a step instead of one. */
const TABLES: readonly Uint32Array[] = makeTables();

function makeTables(): Uint32Array[] {
  const first = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL_REVERSED : crc >>> 1;
    first[byte] = crc >>> 0;
  }
  const tables = [first];
  for (let index = 1; index < 8; index += 1) {
    const previous = tables[index - 1] as Uint32Array;
    tables.push(previous.map((crc) => ((first[crc & 0xff] as number) ^ (crc >>> 8)) >>> 0));
  }
  return tables;
}

/** CRC-32C (Castagnoli; RFC 3720 appendix B.4) of `bytes`, continuing from `seed`. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as unknown as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  let crc = ~seed >>> 0;
  let index = 0;
  const wholeEnd = bytes.length - 7;
  for (; index < wholeEnd; index += 8) {
    const low =
      crc ^
      (at(bytes, index) | (at(bytes, index + 1) << 8) | (at(bytes, index + 2) << 16) | (at(bytes, index + 3) << 24));
    crc =
      at(t7, low & 0xff) ^
      at(t6, (low >>> 8) & 0xff) ^
      at(t5, (low >>> 16) & 0xff) ^
      at(t4, low >>> 24) ^
      at(t3, at(bytes, index + 4)) ^
      at(t2, at(bytes, index + 5)) ^
      at(t1, at(bytes, index + 6)) ^
      at(t0, at(bytes, index + 7));
  }
  for (; index < bytes.length; index += 1) crc = at(t0, (crc ^ at(bytes, index)) & 0xff) ^ (crc >>> 8);
  return ~crc >>> 0;
}

function at(table: Uint8Array | Uint32Array, index: number): number {
  return table[index] as number;
}

/** What a 64-bit little-endian ELF file needs to be run: the names of shared libraries, and of its loader. */
export interface ElfNeeds {
  readonly libraries: readonly string[];
  /** `/lib64/ld-linux-x86-64.so.2`; null: a library, or linked statically. */
  readonly loader: string | null;
}

const MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NULL = 0n;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly length: number;
}

/** Null for what is no such file. (System V ABI, chapters 4 and 5.) */
export function elfNeeds(file: Buffer): ElfNeeds | null {
  if (file.length < 64 || file.readUInt32BE(0) !== MAGIC) return null;
  if (file[4] !== CLASS_64 || file[5] !== LITTLE_ENDIAN) return null;
  const segments = segmentsOf(file);
  const interp = segments.find(({ type }) => type === PT_INTERP);
  const loader = interp === undefined ? null : textAt(file, interp.offset);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return { libraries: [], loader };
  const names: number[] = [];
  let table = 0;
  for (let at = dynamic.offset; at + 16 <= dynamic.offset + dynamic.length; at += 16) {
    const tag = file.readBigInt64LE(at);
    const value = Number(file.readBigUInt64LE(at + 8));
    if (tag === DT_NULL) break;
    if (tag === DT_NEEDED) names.push(value);
    if (tag === DT_STRTAB) table = value;
  }
  // The table is named by its address in memory.
  const holder = segments.find(
    ({ type, address, length }) => type === PT_LOAD && table >= address && table < address + length,
  );
  if (holder === undefined) return { libraries: [], loader };
  const tableAt = table - holder.address + holder.offset;
  return { libraries: names.map((name) => textAt(file, tableAt + name)), loader };
}

function segmentsOf(file: Buffer): readonly Segment[] {
  const headersAt = Number(file.readBigUInt64LE(32));
  const headerBytes = file.readUInt16LE(54);
  const count = file.readUInt16LE(56);
  return Array.from({ length: count }, (_, index) => {
    const at = headersAt + index * headerBytes;
    return {
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: Number(file.readBigUInt64LE(at + 16)),
      length: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function textAt(file: Buffer, at: number): string {
  return file.toString('latin1', at, file.indexOf(0, at));
}

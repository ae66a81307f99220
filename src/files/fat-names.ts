/** Code page 437, which the short names of DOS are written in; from 0x80 on. */
const CODE_PAGE_437 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';

const LOWER = { base: 0x08, extension: 0x10 } as const;
const LAST_PART = 0x40;
const PART_CHARACTERS = 13;
const PARTS_MAX = 20;

/** The name of an entry of 32 bytes, as `8.3`. */
export function shortName(entry: Buffer): string {
  const flags = entry.readUInt8(12);
  const bytes = Buffer.from(entry.subarray(0, 11));
  if (bytes[0] === 0x05) bytes[0] = 0xe5; // 0xe5 marks an entry that was deleted.
  const base = decoded(bytes.subarray(0, 8), (flags & LOWER.base) !== 0);
  const extension = decoded(bytes.subarray(8, 11), (flags & LOWER.extension) !== 0);
  return extension === '' ? base : `${base}.${extension}`;
}

function decoded(bytes: Buffer, isLower: boolean): string {
  const text = [...bytes]
    .map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : CODE_PAGE_437[byte - 0x80]))
    .join('');
  const trimmed = text.replace(/ +$/, '');
  return isLower ? trimmed.toLowerCase() : trimmed;
}

/** Gathers the parts of a long name, which stand before the entry that has it, the last part first. */
export class LongName {
  #parts: string[] = [];
  #expected = 0;
  #checksum = 0;

  /** An entry whose attributes are those of a part. */
  add(entry: Buffer): void {
    const order = entry.readUInt8(0);
    const number = order & 0x3f;
    if ((order & LAST_PART) !== 0) {
      this.#parts = [];
      this.#expected = number <= PARTS_MAX ? number : 0;
      this.#checksum = entry.readUInt8(13);
    }
    if (number === 0 || number !== this.#expected || entry.readUInt8(13) !== this.#checksum) {
      this.clear();
      return;
    }
    this.#expected -= 1;
    this.#parts.unshift(partOf(entry));
  }

  clear(): void {
    this.#parts = [];
    this.#expected = 0;
  }

  /** The name for the entry that follows; null when there is none, or it is another's. */
  take(entry: Buffer): string | null {
    const isWhole = this.#expected === 0 && this.#parts.length > 0 && checksumOf(entry) === this.#checksum;
    const text = this.#parts.join('');
    this.clear();
    return isWhole ? text.replace(/\0[\s\S]*$/, '') : null;
  }
}

function partOf(entry: Buffer): string {
  const units = Buffer.concat([entry.subarray(1, 11), entry.subarray(14, 26), entry.subarray(28, 32)]);
  return units.toString('utf16le', 0, PART_CHARACTERS * 2);
}

function checksumOf(entry: Buffer): number {
  let sum = 0;
  for (let index = 0; index < 11; index += 1) sum = (((sum & 1) << 7) + (sum >> 1) + entry.readUInt8(index)) & 0xff;
  return sum;
}

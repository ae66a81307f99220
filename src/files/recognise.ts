import type { ByteReader } from './byte-reader.ts';

/** What lies on a disk or partition: `ext` and `fat` can be read here. */
export type Recognised =
  | { readonly kind: 'ext' }
  | { readonly kind: 'fat' }
  /** `name`: of what was found, for a person. */
  | { readonly kind: 'other'; readonly name: string }
  | { readonly kind: 'empty' }
  | { readonly kind: 'unknown' };

interface Signature {
  readonly name: string;
  readonly at: number;
  readonly bytes: Buffer;
}

const signature = (name: string, at: number, text: string): Signature => ({
  name,
  at,
  bytes: Buffer.from(text, 'latin1'),
});

/** Signatures of what cannot be read here (util-linux's libblkid has them all). */
const OTHERS: readonly Signature[] = [
  signature('a LUKS encrypted volume', 0, 'LUKS\xba\xbe'),
  signature('an XFS file system', 0, 'XFSB'),
  signature('a Btrfs file system', 0x1_0040, '_BHRfS_M'),
  signature('an NTFS file system', 3, 'NTFS    '),
  signature('an exFAT file system', 3, 'EXFAT   '),
  signature('an F2FS file system', 1024, '\x10\x20\xf5\xf2'),
  signature('a bcachefs file system', 4096 + 24, '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef'),
  signature('a squashfs file system', 0, 'hsqs'),
  signature('an EROFS file system', 1024, '\xe2\xe1\xf5\xe0'),
  signature('an ISO 9660 file system', 32_769, 'CD001'),
  ...[0, 512, 1024, 1536].map((at) => signature('a physical volume of LVM', at, 'LABELONE')),
  ...[4096, 8192, 16_384, 65_536].map((page) => signature('swap space', page - 10, 'SWAPSPACE2')),
  ...[0, 4096].map((at) => signature('a member of a Linux software RAID', at, '\xfc\x4e\x2b\xa9')),
];

/** As much of the beginning as the signatures need. */
const HEAD_BYTES = 72 * 1024;

/** What a disk or partition holds, by its signature. */
export async function recognise(reader: ByteReader): Promise<Recognised> {
  const head = await reader.read(0, Math.min(HEAD_BYTES, reader.sizeBytes));
  for (const { name, at, bytes } of OTHERS) {
    if (at + bytes.length <= head.length && head.compare(bytes, 0, bytes.length, at, at + bytes.length) === 0) {
      return { kind: 'other', name };
    }
  }
  if (head.length >= 2048 && head.readUInt16LE(1024 + 56) === 0xef53) return { kind: 'ext' };
  if (isFat(head)) return { kind: 'fat' };
  return head.every((byte) => byte === 0) ? { kind: 'empty' } : { kind: 'unknown' };
}

/** A boot sector whose parameters make sense (Microsoft's FAT specification, section 3). */
export function isFat(head: Buffer): boolean {
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) return false;
  const jump = head.readUInt8(0);
  if (jump !== 0xeb && jump !== 0xe9) return false;
  const sectorBytes = head.readUInt16LE(11);
  const clusterSectors = head.readUInt8(13);
  if (![512, 1024, 2048, 4096].includes(sectorBytes)) return false;
  if (clusterSectors === 0 || (clusterSectors & (clusterSectors - 1)) !== 0) return false;
  const fatCount = head.readUInt8(16);
  const media = head.readUInt8(21);
  return head.readUInt16LE(14) > 0 && fatCount >= 1 && fatCount <= 2 && (media === 0xf0 || media >= 0xf8);
}

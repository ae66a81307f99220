import type { FileKind, FileTime } from './file-system.ts';
import { damaged } from './file-system-error.ts';

export const INODE_FLAG = { encrypted: 0x800, compressed: 0x4, extents: 0x8_0000, inlineData: 0x1000_0000 } as const;

const KINDS: Readonly<Record<number, FileKind>> = {
  0x1000: 'fifo',
  0x2000: 'character-device',
  0x4000: 'directory',
  0x6000: 'block-device',
  0x8000: 'file',
  0xa000: 'symlink',
  0xc000: 'socket',
};

const EXTRA_START = 128;
const XATTR_MAGIC = 0xea02_0000;
const XATTR_ENTRY_BYTES = 16;
const XATTR_INDEX_SYSTEM = 7;
/** As much of a content as fits where the addresses of blocks are otherwise. */
export const ADDRESS_BYTES = 60;

/** An inode, parsed (https://docs.kernel.org/filesystems/ext4/dynamic.html#index-nodes). */
export interface ExtInode {
  readonly number: number;
  readonly kind: FileKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly linkCount: number;
  readonly modified: FileTime;
  readonly flags: number;
  /** The 60 bytes that hold extents, addresses of blocks, a short symlink or the first of the content. */
  readonly addresses: Buffer;
  readonly device: { readonly major: number; readonly minor: number } | null;
  /** Content that lies in the inode behind `addresses`. */
  readonly inlineRest: Buffer;
}

/** `bytes`: the whole inode. Throws FileSystemError. */
export function parseExtInode(number: number, bytes: Buffer): ExtInode {
  const modeAndKind = bytes.readUInt16LE(0);
  const kind = KINDS[modeAndKind & 0xf000];
  if (kind === undefined) throw damaged(`inode ${number} is not in use, or of no known kind`);
  const flags = bytes.readUInt32LE(32);
  const addresses = Buffer.from(bytes.subarray(40, 40 + ADDRESS_BYTES));
  const high = bytes.readUInt32LE(108);
  const sizeBytes = bytes.readUInt32LE(4) + (kind === 'file' || kind === 'directory' ? high * 2 ** 32 : 0);
  if (!Number.isSafeInteger(sizeBytes)) throw damaged(`inode ${number} tells an absurd size`);
  const extraBytes = bytes.length > EXTRA_START + 2 ? bytes.readUInt16LE(EXTRA_START) : 0;
  return {
    number,
    kind,
    mode: modeAndKind & 0xfff,
    uid: bytes.readUInt16LE(2) | (bytes.readUInt16LE(120) << 16),
    gid: bytes.readUInt16LE(24) | (bytes.readUInt16LE(122) << 16),
    sizeBytes,
    linkCount: bytes.readUInt16LE(26),
    modified: timeOf(bytes.readInt32LE(16), extraBytes >= 12 && bytes.length >= 140 ? bytes.readUInt32LE(136) : 0),
    flags,
    addresses,
    device: kind === 'block-device' || kind === 'character-device' ? deviceOf(addresses) : null,
    inlineRest: (flags & INODE_FLAG.inlineData) === 0 ? Buffer.alloc(0) : inlineRest(bytes, extraBytes),
  };
}

/** Two bits more of seconds, and thirty of nanoseconds. */
function timeOf(seconds: number, extra: number): FileTime {
  return { seconds: seconds + (extra & 3) * 2 ** 32, nanoseconds: Math.min(extra >>> 2, 999_999_999) };
}

function deviceOf(addresses: Buffer): { readonly major: number; readonly minor: number } {
  const old = addresses.readUInt32LE(0);
  if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
  const value = addresses.readUInt32LE(4);
  return { major: (value & 0xf_ff00) >>> 8, minor: (value & 0xff) | ((value >>> 12) & 0xf_ff00) };
}

/** The value of the attribute `system.data`, in the inode's own space for attributes. */
function inlineRest(bytes: Buffer, extraBytes: number): Buffer {
  const header = EXTRA_START + extraBytes;
  if (header + 4 > bytes.length || bytes.readUInt32LE(header) !== XATTR_MAGIC) return Buffer.alloc(0);
  const first = header + 4;
  for (let at = first; at + XATTR_ENTRY_BYTES <= bytes.length && bytes.readUInt32LE(at) !== 0;) {
    const nameBytes = bytes.readUInt8(at);
    const name = bytes.toString('latin1', at + XATTR_ENTRY_BYTES, at + XATTR_ENTRY_BYTES + nameBytes);
    if (bytes.readUInt8(at + 1) === XATTR_INDEX_SYSTEM && name === 'data') {
      const start = first + bytes.readUInt16LE(at + 2);
      return Buffer.from(bytes.subarray(start, start + bytes.readUInt32LE(at + 8)));
    }
    at += (XATTR_ENTRY_BYTES + nameBytes + 3) & ~3;
  }
  return Buffer.alloc(0);
}

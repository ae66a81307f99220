import { damaged, FileSystemError } from './file-system-error.ts';

/** Features without which a file system cannot be read rightly (Linux, fs/ext4/ext4.h: EXT4_FEATURE_INCOMPAT_*). */
export const INCOMPAT = {
  filetype: 0x2,
  recover: 0x4,
  metaBg: 0x10,
  extents: 0x40,
  sixtyFour: 0x80,
  mmp: 0x100,
  flexBg: 0x200,
  eaInode: 0x400,
  checksumSeed: 0x2000,
  largeDirectory: 0x4000,
  inlineData: 0x8000,
  encrypt: 0x1_0000,
  casefold: 0x2_0000,
} as const;

const INCOMPAT_OTHERS: readonly (readonly [number, string])[] = [
  [0x1, 'compression'],
  [0x8, 'being the journal of another file system'],
  [0x1000, 'data in directories (of Lustre)'],
];
const COMPAT_JOURNAL = 0x4;
const COMPAT_SPARSE_SUPER_2 = 0x200;
const RO_COMPAT_SPARSE_SUPER = 0x1;
const MAGIC = 0xef53;
const BLOCK_BITS_MAX = 6;

/** Where the superblock lies, whatever the block size. */
export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_BYTES = 1024;

/** The superblock of ext2, ext3 and ext4 (https://docs.kernel.org/filesystems/ext4/globals.html#super-block), checked. */
export interface ExtSuperblock {
  readonly kind: 'ext2' | 'ext3' | 'ext4';
  readonly label: string;
  readonly uuid: Buffer;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly groupCount: number;
  readonly inodeCount: number;
  readonly inodesPerGroup: number;
  readonly inodeBytes: number;
  readonly descriptorBytes: number;
  readonly incompat: number;
  /** Groups from this block of descriptors on keep theirs with them; null: all are after the superblock. */
  readonly firstMetaGroup: number | null;
  readonly needsRecovery: boolean;
  /** 0: not in this file system. */
  readonly journalInode: number;
  /** Whether a group has a copy of the superblock. */
  readonly hasSuperblock: (group: number) => boolean;
}

/** Throws FileSystemError for what cannot be, or cannot be read. `deviceBytes`: of what it lies on. */
export function parseExtSuperblock(bytes: Buffer, deviceBytes: number): ExtSuperblock {
  if (bytes.readUInt16LE(56) !== MAGIC) throw damaged('its superblock is not one of ext2, ext3 or ext4');
  const revision = bytes.readUInt32LE(76);
  const [compat, incompat, roCompat] =
    revision === 0 ? [0, 0, 0] : [bytes.readUInt32LE(92), bytes.readUInt32LE(96), bytes.readUInt32LE(100)];
  checkFeatures(incompat);
  const blockBits = bytes.readUInt32LE(24);
  if (blockBits > BLOCK_BITS_MAX) throw damaged(`its superblock tells a block size of 2^${10 + blockBits} bytes`);
  const blockBytes = 1024 << blockBits;
  const is64 = (incompat & INCOMPAT.sixtyFour) !== 0;
  const blockCount = bytes.readUInt32LE(4) + (is64 ? bytes.readUInt32LE(336) * 2 ** 32 : 0);
  if (blockCount * blockBytes > deviceBytes) {
    throw damaged(`its superblock tells ${blockCount * blockBytes} bytes, and it lies on ${deviceBytes}`);
  }
  const firstDataBlock = bytes.readUInt32LE(20);
  const blocksPerGroup = bytes.readUInt32LE(32);
  const inodesPerGroup = bytes.readUInt32LE(40);
  const inodeCount = bytes.readUInt32LE(0);
  const inodeBytes = revision === 0 ? 128 : bytes.readUInt16LE(88);
  const descriptorBytes = is64 ? bytes.readUInt16LE(254) : 32;
  if (blocksPerGroup === 0 || inodesPerGroup === 0) throw damaged('its superblock tells of empty groups');
  if (firstDataBlock >= blockCount) throw damaged('its superblock tells that it has no blocks');
  if (inodeBytes < 128 || inodeBytes > blockBytes || !isPowerOfTwo(inodeBytes)) {
    throw damaged(`its superblock tells inodes of ${inodeBytes} bytes`);
  }
  if (descriptorBytes < 32 || descriptorBytes > blockBytes || !isPowerOfTwo(descriptorBytes)) {
    throw damaged(`its superblock tells group descriptors of ${descriptorBytes} bytes`);
  }
  const groupCount = Math.ceil((blockCount - firstDataBlock) / blocksPerGroup);
  if (inodeCount > groupCount * inodesPerGroup) throw damaged('its superblock tells more inodes than its groups have');
  const hasJournal = (compat & COMPAT_JOURNAL) !== 0;
  const isExt4 = (incompat & (INCOMPAT.extents | INCOMPAT.sixtyFour | INCOMPAT.flexBg | INCOMPAT.inlineData)) !== 0;
  return {
    kind: isExt4 ? 'ext4' : hasJournal ? 'ext3' : 'ext2',
    label: bytes.toString('utf8', 120, 136).replace(/\0[\s\S]*$/, ''),
    uuid: Buffer.from(bytes.subarray(104, 120)),
    blockBytes,
    blockCount,
    firstDataBlock,
    blocksPerGroup,
    groupCount,
    inodeCount,
    inodesPerGroup,
    inodeBytes,
    descriptorBytes,
    incompat,
    firstMetaGroup: (incompat & INCOMPAT.metaBg) === 0 ? null : bytes.readUInt32LE(260),
    needsRecovery: hasJournal && (incompat & INCOMPAT.recover) !== 0,
    journalInode: hasJournal ? bytes.readUInt32LE(224) : 0,
    hasSuperblock: superblockGroups(compat, roCompat, [bytes.readUInt32LE(588), bytes.readUInt32LE(592)]),
  };
}

function checkFeatures(incompat: number): void {
  const known = Object.values(INCOMPAT).reduce((all, bit) => all | bit, 0);
  const unknown = incompat & ~known;
  if (unknown === 0) return;
  const names = INCOMPAT_OTHERS.filter(([bit]) => (unknown & bit) !== 0).map(([, name]) => name);
  const what = names.length > 0 ? names.join(', ') : `the unknown feature 0x${(unknown >>> 0).toString(16)}`;
  throw new FileSystemError('unsupported', `an ext file system with ${what}`);
}

/** Groups 0, 1 and the powers of 3, 5 and 7 have a copy, or two that are named, or all. */
function superblockGroups(compat: number, roCompat: number, backups: readonly number[]): (group: number) => boolean {
  return (group) => {
    if (group === 0) return true;
    if ((compat & COMPAT_SPARSE_SUPER_2) !== 0) return backups.includes(group);
    if (group === 1 || (roCompat & RO_COMPAT_SPARSE_SUPER) === 0) return true;
    return [3, 5, 7].some((base) => isPowerOf(group, base));
  };
}

function isPowerOf(value: number, base: number): boolean {
  let rest = value;
  while (rest > 1 && rest % base === 0) rest /= base;
  return rest === 1;
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0;
}

import { assert } from '#base/assert.ts';

/**
 * Writes ISO 9660 images (ECMA-119) of a few files in one directory, with Rock Ridge names (IEEE P1282), which carry names as
 * they are: a NoCloud seed has files that the plain standard could not name.
 *
 * Sectors: 16 the volume, 17 the end of such descriptors, 18 and 19 the path table in both byte orders, 20 the directory,
 * from 21 on the files.
 */
export const SECTOR_BYTES = 2048;
const PATH_TABLE_LITTLE = 18;
const PATH_TABLE_BIG = 19;
const DIRECTORY = 20;
const FIRST_FILE = 21;
/** Whoever looks for file systems on a disk reads its first 68 KiB, and busybox takes a shorter one for broken. */
const SECTORS_MIN = 64;
const PATH_TABLE_BYTES = 10;
const DIRECTORY_MODE = 0o040500;
const FILE_MODE = 0o100400;
/** 1 January 2000: the same content gives the same image. */
const DATE = Buffer.of(100, 1, 1, 0, 0, 0, 0);

export interface IsoFile {
  /** 1 to 60 letters, digits, `-`, `.`. */
  readonly name: string;
  readonly content: Uint8Array;
}

export function encodeIso9660(label: string, files: readonly IsoFile[]): Buffer {
  let nextSector = FIRST_FILE;
  const places = files.map(({ content }) => {
    const sector = nextSector;
    nextSector += Math.ceil(content.length / SECTOR_BYTES);
    return sector;
  });
  const sectorCount = Math.max(nextSector, SECTORS_MIN);
  const image = Buffer.alloc(sectorCount * SECTOR_BYTES);
  const put = (bytes: Uint8Array, sector: number): void => image.set(bytes, sector * SECTOR_BYTES);
  put(volumeDescriptor(label, sectorCount), 16);
  put(Buffer.from('\xffCD001\x01', 'latin1'), 17);
  put(pathTable('little'), PATH_TABLE_LITTLE);
  put(pathTable('big'), PATH_TABLE_BIG);
  const self = { sector: DIRECTORY, sizeBytes: SECTOR_BYTES, isDirectory: true };
  const records = [
    record({ ...self, identifier: '\0', systemUse: [SUSP, ROCK_RIDGE, attributes(DIRECTORY_MODE, 2)] }),
    record({ ...self, identifier: '\x01', systemUse: [attributes(DIRECTORY_MODE, 2)] }),
    ...files.map(({ name, content }, index) =>
      record({
        sector: places[index] ?? 0,
        sizeBytes: content.length,
        isDirectory: false,
        identifier: `FILE${index}.;1`, // For readers that know no Rock Ridge: nobody should be one.
        systemUse: [attributes(FILE_MODE, 1), alternateName(name)],
      }),
    ),
  ];
  const directory = Buffer.concat(records);
  assert(
    files.length <= 10 && directory.length <= SECTOR_BYTES,
    'the directory is one sector, in the order of its names',
  );
  put(directory, DIRECTORY);
  for (const [index, { content }] of files.entries()) put(content, places[index] ?? 0);
  return image;
}

function volumeDescriptor(label: string, sectorCount: number): Buffer {
  assert(/^[A-Za-z0-9_]{1,32}$/.test(label), 'a label is short and plain');
  const bytes = Buffer.alloc(SECTOR_BYTES);
  bytes.write('\x01CD001\x01', 0, 'latin1');
  bytes.fill(' ', 8, 72);
  bytes.write(label, 40, 'latin1');
  bytes.set(both32(sectorCount), 80);
  bytes.set(both16(1), 120);
  bytes.set(both16(1), 124);
  bytes.set(both16(SECTOR_BYTES), 128);
  bytes.set(both32(PATH_TABLE_BYTES), 132);
  bytes.writeUInt32LE(PATH_TABLE_LITTLE, 140);
  bytes.writeUInt32BE(PATH_TABLE_BIG, 148);
  bytes.set(
    record({ sector: DIRECTORY, sizeBytes: SECTOR_BYTES, isDirectory: true, identifier: '\0', systemUse: [] }),
    156,
  );
  bytes.fill(' ', 190, 813);
  for (const at of [813, 830, 847, 864]) bytes.fill('0', at, at + 16); // No date is known.
  bytes[881] = 1;
  return bytes;
}

/** The root alone. */
function pathTable(order: 'little' | 'big'): Buffer {
  const bytes = Buffer.alloc(PATH_TABLE_BYTES);
  bytes[0] = 1;
  if (order === 'little') bytes.writeUInt32LE(DIRECTORY, 2);
  else bytes.writeUInt32BE(DIRECTORY, 2);
  if (order === 'little') bytes.writeUInt16LE(1, 6);
  else bytes.writeUInt16BE(1, 6);
  return bytes;
}

function record(of: {
  readonly sector: number;
  readonly sizeBytes: number;
  readonly isDirectory: boolean;
  readonly identifier: string;
  readonly systemUse: readonly Buffer[];
}): Buffer {
  const identifier = Buffer.from(of.identifier, 'latin1');
  const head = Buffer.alloc(33);
  head.set(both32(of.sector), 2);
  head.set(both32(of.sizeBytes), 10);
  head.set(DATE, 18);
  head[25] = of.isDirectory ? 2 : 0;
  head.set(both16(1), 28);
  head[32] = identifier.length;
  const padding = Buffer.alloc((identifier.length + 1) % 2);
  const bytes = Buffer.concat([head, identifier, padding, ...of.systemUse]);
  const even = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
  assert(even.length <= 254, 'a directory record counts its bytes in one');
  even[0] = even.length;
  return even;
}

/** System use sharing protocol: `SP` says that there are such fields. */
const SUSP = Buffer.of(0x53, 0x50, 7, 1, 0xbe, 0xef, 0);
/** `ER`: they are Rock Ridge's. */
const ROCK_RIDGE = Buffer.concat([Buffer.of(0x45, 0x52, 18, 1, 10, 0, 0, 1), Buffer.from('RRIP_1991A', 'latin1')]);

/** `PX`: mode, links, owner and group. */
function attributes(mode: number, linkCount: number): Buffer {
  return Buffer.concat([Buffer.of(0x50, 0x58, 36, 1), both32(mode), both32(linkCount), both32(0), both32(0)]);
}

/** `NM`: the name as it is. */
function alternateName(name: string): Buffer {
  assert(/^[A-Za-z0-9.-]{1,60}$/.test(name), 'a file has a plain name');
  return Buffer.concat([Buffer.of(0x4e, 0x4d, 5 + name.length, 1, 0), Buffer.from(name, 'latin1')]);
}

/** A number in both byte orders, as the standard has them. */
function both32(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
}

function both16(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
}

import { open } from 'node:fs/promises';

import { CommandError } from './command-error.ts';

export type ImageFormat = 'raw' | 'qcow2' | 'vmdk';

const SECTOR_BYTES = 512;
const QCOW_MAGIC = 0x514649fb;
const VMDK_MAGIC = 'KDMV';
const VMDK_TEXT_MAGIC = '# Disk Descriptor';
/** The text inside a vmdk that names its parent; as large as qemu and VMware make it at most. */
const DESCRIPTOR_BYTES_MAX = 1024 * 1024;
/** Bit of qcow2's incompatible features: the data lies in another file (QEMU's docs/interop/qcow2.txt). */
const QCOW_EXTERNAL_DATA = 1n << 2n;

/** What a file begins like, or null for anything else. Only a guess: a disk's own content decides what a raw image begins with. */
export async function looksLike(path: string): Promise<ImageFormat | null> {
  const head = await readHead(path, 0, 32);
  if (head.length >= 4 && head.readUInt32BE(0) === QCOW_MAGIC) return 'qcow2';
  const text = head.toString('latin1');
  return text.startsWith(VMDK_MAGIC) || text.startsWith(VMDK_TEXT_MAGIC) || text.startsWith('COWD') ? 'vmdk' : null;
}

/**
 * Refuses an image that would be read together with another file that it names (a backing file, a data file, an extent, a
 * parent): whoever made the image would choose which of this machine's files becomes the content of the disk.
 * Read from the header itself, before any other program opens the image. Throws CommandError.
 */
export async function refuseReferences(path: string, format: 'qcow2' | 'vmdk'): Promise<void> {
  if (format === 'qcow2') checkQcow2(path, await readHead(path, 0, 104));
  else await checkVmdk(path);
}

function checkQcow2(path: string, head: Buffer): void {
  if (head.length < 72 || head.readUInt32BE(0) !== QCOW_MAGIC) throw new CommandError(`${path} is no qcow2 image`);
  const version = head.readUInt32BE(4);
  if (version !== 2 && version !== 3)
    throw new CommandError(`${path} is a qcow image of version ${version}; 2 and 3 are read`);
  if (head.readBigUInt64BE(8) !== 0n) {
    throw new CommandError(`${path} has a backing file. Make it one image first: qemu-img convert -O qcow2 OLD NEW`);
  }
  if (head.readUInt32BE(32) !== 0) throw new CommandError(`${path} is encrypted; decrypt it first`);
  if (version === 3 && (head.length < 80 || (head.readBigUInt64BE(72) & QCOW_EXTERNAL_DATA) !== 0n)) {
    throw new CommandError(
      `${path} keeps its data in another file. Make it one image first: qemu-img convert -O qcow2 OLD NEW`,
    );
  }
}

async function checkVmdk(path: string): Promise<void> {
  const head = await readHead(path, 0, 80);
  const text = head.toString('latin1');
  if (text.startsWith(VMDK_TEXT_MAGIC)) {
    throw new CommandError(
      `${path} only describes other files. Make it one image first: qemu-img convert -O vmdk OLD NEW`,
    );
  }
  if (head.length < 80 || !text.startsWith(VMDK_MAGIC))
    throw new CommandError(`${path} is no vmdk image of one sparse extent`);
  const capacity = head.readBigUInt64LE(12);
  const descriptorAt = Number(head.readBigUInt64LE(28)) * SECTOR_BYTES;
  const descriptorBytes = Number(head.readBigUInt64LE(36)) * SECTOR_BYTES;
  if (capacity === 0n) throw new CommandError(`${path} has no data of its own: it describes other files`);
  if (descriptorAt === 0) return;
  if (descriptorBytes > DESCRIPTOR_BYTES_MAX || !Number.isSafeInteger(descriptorAt)) {
    throw new CommandError(`${path} has a descriptor of ${descriptorBytes} bytes, which is too much`);
  }
  const descriptor = (await readHead(path, descriptorAt, Math.max(descriptorBytes, DESCRIPTOR_BYTES_MAX))).toString(
    'latin1',
  );
  const parent = /parentCID\s*=\s*"?([0-9a-f]+)/i.exec(descriptor)?.[1];
  if (/parentFileNameHint/i.test(descriptor) || (parent !== undefined && !/^f{8}$/i.test(parent))) {
    throw new CommandError(`${path} has a parent image. Make it one image first: qemu-img convert -O vmdk OLD NEW`);
  }
}

/** What `qemu-img info --output=json` says of an image. Throws CommandError when it names another file. */
export function parseImageInfo(path: string, text: string): { readonly sizeBytes: number } {
  const info = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const specific = JSON.stringify(info['format-specific'] ?? {});
  const extents = [...specific.matchAll(/"filename":"((?:[^"\\]|\\.)*)"/g)].map(
    (match) => JSON.parse(`"${match[1]}"`) as string,
  );
  const named = ['backing-filename', 'full-backing-filename'].some((member) => info[member] !== undefined);
  if (named || /"data-file(?:-raw)?":(?!false)/.test(specific) || extents.some((name) => name !== path)) {
    throw new CommandError(`${path} is read together with other files, which it names; make it one image first`);
  }
  const sizeBytes = info['virtual-size'];
  if (typeof sizeBytes === 'number' && Number.isSafeInteger(sizeBytes) && sizeBytes > 0) return { sizeBytes };
  throw new CommandError(`qemu-img does not say how large ${path} is`);
}

async function readHead(path: string, offset: number, length: number): Promise<Buffer> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

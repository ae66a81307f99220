import { mkdir, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asRoot, BlueprintError, runTool } from './tool.ts';

const MIB = 1024 * 1024;
const SECTOR_BYTES = 512;
/** Code in the first sector comes before the table of old. */
const BOOT_CODE_BYTES_MAX = 440;
/** Where Debian's package syslinux-common keeps the boot code for GPT. */
const BOOT_CODE_PATH = '/usr/lib/syslinux/mbr/gptmbr.bin';

export interface DiskPlan {
  /** What firmware boots: kernel, initramfs. */
  readonly bootMib: number;
  readonly rootMib: number;
  /** Files of the boot partition, by their path there: `vmlinuz`. */
  readonly bootFiles: ReadonlyMap<string, string>;
  readonly kernel: string;
  readonly initramfs: string;
  /** The kernel's command line. */
  readonly commandLine: string;
  /** systemd-boot's program for UEFI. */
  readonly efiProgram: string;
  /** A directory, or a tar archive, that becomes the root file system; who is not root needs an archive for files of others than root. */
  readonly rootTree: { readonly directory: string } | { readonly archive: string };
}

/**
 * Writes a bootable disk to `path`, sparse: GPT; partition 1 `boot`, FAT, with syslinux for BIOS and systemd-boot for UEFI;
 * partition 2 `root`, ext4, the last, so that it can grow. No mount, no loop device, no rights. Answers the size in bytes.
 */
export async function writeDiskImage(
  path: string,
  plan: DiskPlan,
  { workDirectory, signal }: { readonly workDirectory: string; readonly signal: AbortSignal },
): Promise<number> {
  const bootAt = MIB;
  const rootAt = bootAt + plan.bootMib * MIB;
  // The last MiB is for the second copy of the partition table.
  const sizeBytes = rootAt + plan.rootMib * MIB + MIB;
  await rm(path, { force: true });
  await writeFile(path, '');
  await truncate(path, sizeBytes);
  const sector = (bytes: number): number => bytes / SECTOR_BYTES;
  const partitions = [
    `--new=1:${sector(bootAt)}:${sector(rootAt) - 1}`,
    '--typecode=1:ef00',
    '--change-name=1:boot',
    // "Legacy BIOS bootable": what the boot code looks for.
    '--attributes=1:set:2',
    `--new=2:${sector(rootAt)}:${sector(rootAt + plan.rootMib * MIB) - 1}`,
    '--typecode=2:8304',
    '--change-name=2:root',
  ];
  await runTool('sgdisk', ['--clear', '--set-alignment=2048', ...partitions, path], { signal });
  await writeBootCode(path);
  await writeBoot(path, plan, { bootAt, workDirectory, signal });
  await writeRoot(path, plan, { rootAt, workDirectory, signal });
  return sizeBytes;
}

async function writeBootCode(path: string): Promise<void> {
  const code = await readFile(BOOT_CODE_PATH).catch((error: unknown) => {
    const message = `${BOOT_CODE_PATH} is missing. On Debian: apt-get install --no-install-recommends syslinux-common`;
    throw new BlueprintError(message, { cause: error });
  });
  if (code.length > BOOT_CODE_BYTES_MAX) throw new BlueprintError(`${BOOT_CODE_PATH} is larger than the boot sector`);
  await using file = await open(path, 'r+');
  await file.write(code, 0, code.length, 0);
}

async function writeBoot(
  path: string,
  plan: DiskPlan,
  at: { readonly bootAt: number; readonly workDirectory: string; readonly signal: AbortSignal },
): Promise<void> {
  const { signal } = at;
  // A file of its own first: mkfs.fat takes its size from the file.
  const boot = join(at.workDirectory, 'boot.fat');
  await rm(boot, { force: true });
  await writeFile(boot, '');
  await truncate(boot, plan.bootMib * MIB);
  await runTool(
    'mkfs.fat',
    ['-F', plan.bootMib < 64 ? '16' : '32', '-n', 'BOOT', '-h', String(at.bootAt / SECTOR_BYTES), boot],
    { signal },
  );
  const texts = join(at.workDirectory, 'boot-texts');
  await mkdir(texts, { recursive: true });
  const written = new Map<string, string>([
    ['syslinux.cfg', syslinuxConfiguration(plan)],
    ['loader/loader.conf', 'timeout 0\ndefault linux\n'],
    ['loader/entries/linux.conf', loaderEntry(plan)],
  ]);
  const files = new Map<string, string>([...plan.bootFiles, ['EFI/BOOT/BOOTX64.EFI', plan.efiProgram]]);
  for (const [name, text] of written) {
    const source = join(texts, name.replaceAll('/', '-'));
    await writeFile(source, text);
    files.set(name, source);
  }
  await runTool('mmd', ['-i', boot, '::EFI', '::EFI/BOOT', '::loader', '::loader/entries'], { signal });
  for (const [name, source] of files) await runTool('mcopy', ['-i', boot, source, `::${name}`], { signal });
  await runTool('syslinux', ['--install', boot], { signal });
  await using target = await open(path, 'r+');
  const bytes = await readFile(boot);
  // Holes stay holes.
  for (let offset = 0; offset < bytes.length; offset += MIB) {
    const piece = bytes.subarray(offset, offset + MIB);
    if (!isZero(piece)) await target.write(piece, 0, piece.length, at.bootAt + offset);
  }
  await rm(boot);
}

async function writeRoot(
  path: string,
  { rootMib, rootTree }: DiskPlan,
  at: { readonly rootAt: number; readonly workDirectory: string; readonly signal: AbortSignal },
): Promise<void> {
  const mke2fs = (directory: string): readonly string[] => [
    'mke2fs',
    ...['-q', '-F', '-t', 'ext4', '-L', 'root', '-m', '1', '-d', directory],
    // Of a small file system it would be 1 KiB; everything beneath counts in 4 KiB. It may grow a thousandfold.
    ...[
      '-b',
      '4096',
      '-I',
      '256',
      '-J',
      'size=8',
      '-E',
      `offset=${at.rootAt},nodiscard,lazy_itable_init=0,root_owner=0:0`,
    ],
    ...[path, `${rootMib}M`],
  ];
  if ('directory' in rootTree) {
    const [program, ...args] = asRoot('mke2fs', mke2fs(rootTree.directory).slice(1));
    await runTool(program, args, { signal: at.signal });
    return;
  }
  // In one run of fakeroot, which remembers who owns what as long as it runs.
  const directory = join(at.workDirectory, 'root');
  const script = `set -e; mkdir "$1"; tar -xpf "$2" -C "$1" --numeric-owner; shift 2; exec "$@"`;
  const [program, ...args] = asRoot('sh', ['-c', script, 'sh', directory, rootTree.archive, ...mke2fs(directory)]);
  try {
    await runTool(program, args, { signal: at.signal });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function syslinuxConfiguration({ kernel, initramfs, commandLine }: DiskPlan): string {
  // No menu: a machine that nobody watches boots.
  return `SERIAL 0 115200\nPROMPT 0\nTIMEOUT 1\nDEFAULT linux\nLABEL linux\n  LINUX /${kernel}\n  INITRD /${initramfs}\n  APPEND ${commandLine}\n`;
}

function loaderEntry({ kernel, initramfs, commandLine }: DiskPlan): string {
  return `title Linux\nlinux /${kernel}\ninitrd /${initramfs}\noptions ${commandLine}\n`;
}

const ZEROS = Buffer.alloc(MIB);

function isZero(piece: Buffer): boolean {
  return piece.equals(ZEROS.subarray(0, piece.length));
}

import { chmod, copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Apt, type Package } from './apt.ts';
import type { BuildOptions, BuiltImage } from './build.ts';
import { type CpioEntry, cpioArchive, DIRECTORY, FILE, LINK, PROGRAM } from './cpio.ts';
import { writeDiskImage } from './disk-image.ts';
import { guestFile } from './guest-file.ts';
import { loadOrder, moduleDepends, moduleName } from './kernel-modules.ts';
import { sharedLibraries } from './shared-libraries.ts';
import { BlueprintError, runTool } from './tool.ts';

/*
 * The tiny guest: Debian's kernel and a dozen of its programs, started by a script of our own. Packages are unpacked and not
 * installed: no script of theirs runs, and nothing here needs the rights of root.
 *
 * An initramfs finds the root file system, since Debian's kernel has the drivers of virtio as modules.
 */

const PACKAGES = [
  'linux-image-cloud-amd64',
  'busybox',
  'dropbear-bin',
  'e2fsprogs',
  'fdisk',
  'qemu-guest-agent',
  'systemd-boot-efi',
  'util-linux',
];
/** What only the scripts of packages need. */
const ASSUMED = ['adduser', 'debconf', 'dpkg', 'init-system-helpers', 'initramfs-tools', 'kmod', 'linux-base', 'perl'];

/** Beside busybox, which has all else. */
const PROGRAMS = [
  'bin/dbclient',
  'bin/dropbearkey',
  'bin/partx',
  'sbin/dropbear',
  'sbin/e2fsck',
  'sbin/mke2fs',
  'sbin/qemu-ga',
  'sbin/resize2fs',
  'sbin/sfdisk',
  'sbin/tune2fs',
];

/** Needed to reach the root file system; and all else. What they need comes with them. */
const BOOT_MODULES = ['virtio_pci', 'virtio_blk'];
const ROOT_MODULES = [
  'virtio_net',
  'virtio_console',
  'virtio_rng',
  'button',
  'evdev',
  'isofs',
  'nls_cp437',
  'nls_ascii',
  'vfat',
];

/** See docs/blueprints.md for each word. */
const COMMAND_LINE =
  'console=tty0 console=ttyS0,115200 quiet loglevel=3 mitigations=off nokaslr random.trust_cpu=on panic=5';

/** The kernel has 14 MiB, and the next one may have more. */
const BOOT_MIB = 24;
const ROOT_MIB = 64;

/** What the system expects in /etc. */
const ETC: Readonly<Record<string, string>> = {
  'etc/group': 'root:x:0:\ntty:x:5:\ndisk:x:6:\nadmin:x:1000:\n',
  'etc/shadow': 'root:*:19000:0:99999:7:::\nadmin:*:19000:0:99999:7:::\n',
  'etc/shells': '/bin/sh\n',
  'etc/hostname': 'tiny\n',
  'etc/hosts': '127.0.0.1\tlocalhost\n::1\tlocalhost\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  'etc/profile': "export PATH=/usr/bin\nPS1='\\u@\\h:\\w\\$ '\n",
  'etc/fstab': '',
  // A machine is switched off at its button: the kernel says so as a key.
  'etc/inittab': '::sysinit:/usr/lib/tiny/tiny-init\nttyS0::respawn:-/bin/sh\n::ctrlaltdel:/sbin/reboot\n',
  'etc/acpi/PWRF/00000080': '#!/bin/sh\nexec poweroff\n',
};

/** Builds the tiny image. Throws BlueprintError. */
export async function buildTinyImage(options: BuildOptions): Promise<BuiltImage> {
  const { workDirectory, signal, onStep } = options;
  onStep('downloading packages');
  const apt = await Apt.open(options);
  const packages = await apt.download(PACKAGES, ASSUMED);
  onStep('unpacking');
  const tree = join(workDirectory, 'packages');
  await unpack(packages, tree, signal);
  onStep('making the root file system');
  const kernel = await kernelOf(tree);
  const root = join(workDirectory, 'root');
  await makeRoot(tree, root, kernel);
  const initramfs = join(workDirectory, 'initramfs.gz');
  await writeFile(initramfs, await makeInitramfs(tree, kernel));
  onStep('writing the disk');
  const sizeBytes = await writeDiskImage(
    options.imagePath,
    {
      bootMib: BOOT_MIB,
      rootMib: ROOT_MIB,
      bootFiles: new Map([
        ['vmlinuz', kernel.imagePath],
        ['initrd.gz', initramfs],
      ]),
      kernel: 'vmlinuz',
      initramfs: 'initrd.gz',
      commandLine: COMMAND_LINE,
      efiProgram: join(tree, 'usr/lib/systemd/boot/efi/systemd-bootx64.efi'),
      rootTree: { directory: root },
    },
    { workDirectory, signal },
  );
  return { sizeBytes, version: kernel.release };
}

interface Kernel {
  /** `6.1.0-56-cloud-amd64`. */
  readonly release: string;
  readonly imagePath: string;
  /** Paths of module files by the kernel's name of the module. */
  readonly modules: ReadonlyMap<string, string>;
}

/** Into a tree in which /bin, /sbin and /lib are in /usr, as Debian has it. */
async function unpack(packages: readonly Package[], tree: string, signal: AbortSignal): Promise<void> {
  await mkdir(tree, { recursive: true });
  await Promise.all(
    [0, 1].map(async (half) => {
      for (const { path } of packages.filter((_, index) => index % 2 === half)) {
        await runTool('dpkg-deb', ['--extract', path, tree], { signal });
      }
    }),
  );
  // Debian 12's packages still have files in the places of old, and dpkg-deb follows no links.
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(tree, 'usr', name), { recursive: true });
    await runTool('cp', ['--archive', '--link', `${join(tree, name)}/.`, join(tree, 'usr', name)], { signal });
  }
}

async function kernelOf(tree: string): Promise<Kernel> {
  const [release, ...others] = await readdir(join(tree, 'usr/lib/modules'));
  if (release === undefined || others.length > 0) throw new BlueprintError('the packages bring no kernel, or several');
  const modules = new Map<string, string>();
  const directory = join(tree, 'usr/lib/modules', release);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.name.endsWith('.ko')) {
      modules.set(moduleName(basename(entry.name, '.ko')), join(entry.parentPath, entry.name));
    }
  }
  return { release, imagePath: join(tree, 'boot', `vmlinuz-${release}`), modules };
}

/** Files of modules with names that give the order of loading, without those that are loaded before. */
async function modulesInOrder(
  kernel: Kernel,
  wanted: readonly string[],
  loaded: readonly string[] = [],
): Promise<readonly { readonly name: string; readonly file: string; readonly path: string }[]> {
  const depends = new Map<string, readonly string[]>();
  for (const waiting = [...wanted]; waiting.length > 0;) {
    const name = moduleName(waiting.pop() ?? '');
    const path = kernel.modules.get(name);
    if (path === undefined || depends.has(name)) continue;
    const needs = moduleDepends(await readFile(path));
    depends.set(name, needs);
    waiting.push(...needs);
  }
  const order = loadOrder(wanted, (name) => depends.get(name) ?? null).filter((name) => !loaded.includes(name));
  return order.map((name, index) => ({
    name,
    file: `${String(index).padStart(2, '0')}-${name}.ko`,
    path: kernel.modules.get(name) ?? '',
  }));
}

async function makeRoot(tree: string, root: string, kernel: Kernel): Promise<void> {
  const directories = [
    'dev',
    'proc',
    'sys',
    'run',
    'tmp',
    'mnt',
    'root/.ssh',
    'home/admin/.ssh',
    'etc/dropbear',
    'var/log',
  ];
  for (const name of [...directories, 'usr/bin', 'usr/lib', 'usr/lib64', 'var/lib']) {
    await mkdir(join(root, name), { recursive: true });
  }
  // One place for programs, under all the names that scripts call it by.
  const links = { bin: 'usr/bin', sbin: 'usr/bin', lib: 'usr/lib', lib64: 'usr/lib64', 'usr/sbin': 'bin' };
  for (const [name, target] of Object.entries({ ...links, 'var/run': '/run', 'etc/resolv.conf': '/run/resolv.conf' })) {
    await symlink(target, join(root, name));
  }
  const busybox = join(tree, 'usr/bin/busybox');
  const programs = PROGRAMS.map((name) => join(tree, 'usr', name));
  for (const program of [busybox, ...programs]) await place(program, root, `usr/bin/${basename(program)}`, 0o755);
  for (const [target, source] of await sharedLibraries(tree, [busybox, ...programs])) {
    await place(source, root, target.replace(/^lib64\//, 'usr/lib64/'), 0o755);
  }
  const aliases = { 'mkfs.ext4': 'mke2fs', 'mkfs.ext2': 'mke2fs', 'fsck.ext4': 'e2fsck', ssh: 'dbclient' };
  for (const [name, target] of Object.entries(aliases)) await symlink(target, join(root, 'usr/bin', name));
  const taken = new Set(await readdir(join(root, 'usr/bin')));
  for (const applet of appletsOf(await readFile(busybox))) {
    if (!taken.has(applet)) await symlink('busybox', join(root, 'usr/bin', applet));
  }
  await place(join(tree, 'etc/mke2fs.conf'), root, 'etc/mke2fs.conf', 0o644);
  await write(root, 'etc/passwd', await guestFile('passwd'), 0o644);
  for (const [name, text] of Object.entries(ETC)) {
    const mode = name === 'etc/shadow' ? 0o600 : name.startsWith('etc/acpi/') ? 0o755 : 0o644;
    await write(root, name, Buffer.from(text), mode);
  }
  for (const name of ['tiny-init', 'dhcp', 'disk-links', 'hotplug', 'cloud-config.awk']) {
    await write(root, `usr/lib/tiny/${name}`, await guestFile(name), 0o755);
  }
  await write(root, 'usr/lib/varve/disk-letter', await guestFile('disk-letter'), 0o755);
  for (const name of ['halt', 'poweroff', 'reboot', 'shutdown']) {
    await rm(join(root, 'usr/bin', name), { force: true });
    await write(root, `usr/bin/${name}`, await guestFile('halt'), 0o755);
  }
  const early = await modulesInOrder(kernel, BOOT_MODULES);
  const late = await modulesInOrder(
    kernel,
    ROOT_MODULES,
    early.map(({ name }) => name),
  );
  for (const { file, path } of late) await place(path, root, `usr/lib/modules/tiny/${file}`, 0o644);
  for (const name of ['root', 'root/.ssh', 'home/admin/.ssh']) await chmod(join(root, name), 0o700);
}

async function makeInitramfs(tree: string, kernel: Kernel): Promise<Buffer> {
  const busybox = join(tree, 'usr/bin/busybox');
  const entries: CpioEntry[] = [];
  const directories = ['bin', 'lib64', 'modules', 'usr', 'usr/lib', 'usr/lib/x86_64-linux-gnu'];
  for (const path of directories) entries.push({ path, mode: DIRECTORY, content: Buffer.alloc(0) });
  entries.push({ path: 'lib', mode: LINK, content: Buffer.from('usr/lib') });
  entries.push({ path: 'init', mode: PROGRAM, content: await guestFile('initramfs-init') });
  entries.push({ path: 'bin/busybox', mode: PROGRAM, content: await readFile(busybox) });
  for (const [path, source] of await sharedLibraries(tree, [busybox])) {
    entries.push({ path, mode: PROGRAM, content: await readFile(source) });
  }
  for (const { file, path } of await modulesInOrder(kernel, BOOT_MODULES)) {
    entries.push({ path: `modules/${file}`, mode: FILE, content: await readFile(path) });
  }
  return gzipSync(cpioArchive(entries), { level: 9 });
}

/** The names by which busybox is called: it keeps them one after the other, sorted. */
function appletsOf(busybox: Buffer): readonly string[] {
  const first = Buffer.from('[\0[[\0acpid\0');
  const at = busybox.indexOf(first);
  if (at < 0) throw new BlueprintError('this busybox does not say what it can');
  const end = busybox.indexOf('\0\0', at, 'latin1');
  return busybox.toString('latin1', at, end).split('\0');
}

async function place(source: string, root: string, name: string, mode: number): Promise<void> {
  const target = join(root, name);
  await mkdir(dirname(target), { recursive: true });
  await copyFile(source, target);
  await chmod(target, mode);
}

async function write(root: string, name: string, content: Buffer, mode: number): Promise<void> {
  const target = join(root, name);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, content);
  await chmod(target, mode);
}

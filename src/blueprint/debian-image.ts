import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Apt } from './apt.ts';
import type { BuildOptions, BuiltImage } from './build.ts';
import { EARLY_FILES, FINISH_SCRIPT, type OwnFile, OWN_FILES } from './debian-files.ts';
import { machineSources, sourceLines, SUITE } from './debian-mirror.ts';
import { writeDiskImage } from './disk-image.ts';
import { guestFile } from './guest-file.ts';
import { BlueprintError, runTool } from './tool.ts';

/*
 * Debian 12 as its cloud images have it, smaller: mmdebstrap installs the packages (as root, or in a user namespace), and the
 * disk is made of the archive that it writes.
 */

const PACKAGES = [
  'ca-certificates',
  'cloud-guest-utils',
  'cloud-init',
  'dbus',
  'e2fsprogs',
  'fdisk',
  'iproute2',
  'iputils-ping',
  'less',
  'linux-image-cloud-amd64',
  'netbase',
  'openssh-server',
  'procps',
  'qemu-guest-agent',
  'sudo',
  'systemd-resolved',
  'systemd-sysv',
  'udev',
  'zstd',
];

/** What nobody reads in a machine. */
const LEFT_OUT = [
  '/usr/share/doc/*',
  '/usr/share/man/*',
  '/usr/share/info/*',
  '/usr/share/locale/*',
  '/usr/share/lintian/*',
];

/** See docs/blueprints.md for each word. The system disk is the first, always. */
const COMMAND_LINE =
  'root=/dev/vda2 rw console=tty0 console=ttyS0,115200 quiet mitigations=off nokaslr random.trust_cpu=on';

const BOOT_MIB = 64;
const ROOT_MIB = 900;

/** Builds the Debian image. Throws BlueprintError. */
export async function buildDebianImage(options: BuildOptions): Promise<BuiltImage> {
  const { cacheDirectory, workDirectory, signal, onStep } = options;
  onStep('downloading the boot loader');
  const apt = await Apt.open(options);
  const loader = join(workDirectory, 'loader');
  for (const { path } of await apt.download(['systemd-boot-efi'], [])) {
    await runTool('dpkg-deb', ['--extract', path, loader], { signal });
  }
  onStep('installing Debian (a minute or two)');
  const archive = join(workDirectory, 'root.tar');
  const sources = sourceLines(await machineSources(), options.mirror);
  await installDebian(archive, sources, { packageCache: join(cacheDirectory, 'debian'), workDirectory, signal });
  onStep('writing the disk');
  const boot = join(workDirectory, 'boot');
  await mkdir(boot);
  const wanted = ['./boot', './etc/debian_version'];
  await runTool('tar', ['--extract', '--file', archive, '--directory', boot, '--no-same-owner', ...wanted], { signal });
  const release = await kernelRelease(join(boot, 'boot'));
  const sizeBytes = await writeDiskImage(
    options.imagePath,
    {
      bootMib: BOOT_MIB,
      rootMib: ROOT_MIB,
      bootFiles: new Map([
        ['vmlinuz', join(boot, 'boot', `vmlinuz-${release}`)],
        ['initrd.img', join(boot, 'boot', `initrd.img-${release}`)],
      ]),
      kernel: 'vmlinuz',
      initramfs: 'initrd.img',
      commandLine: COMMAND_LINE,
      efiProgram: join(loader, 'usr/lib/systemd/boot/efi/systemd-bootx64.efi'),
      rootTree: { archive },
    },
    { workDirectory, signal },
  );
  return { sizeBytes, version: (await readFile(join(boot, 'etc/debian_version'), 'utf8')).trim() };
}

async function installDebian(
  archive: string,
  sources: readonly string[],
  { packageCache, workDirectory, signal }: { packageCache: string; workDirectory: string; signal: AbortSignal },
): Promise<void> {
  await mkdir(packageCache, { recursive: true });
  const lists = join(workDirectory, 'sources.list');
  await writeFile(lists, `${sources.join('\n')}\n`);
  const finish = join(workDirectory, 'finish');
  await writeFile(finish, FINISH_SCRIPT);
  const hooks = [
    // Downloaded packages are kept beside the system that is made, from build to build.
    '--setup-hook=mkdir -p "$1/var/cache/apt/archives"',
    `--setup-hook=sync-in ${quoted(packageCache)} /var/cache/apt/archives`,
    ...(await uploads('--essential-hook', EARLY_FILES, workDirectory)),
    ...(await uploads('--customize-hook', [...OWN_FILES, await diskLetter()], workDirectory)),
    `--customize-hook=upload ${quoted(finish)} /finish`,
    '--customize-hook=chroot "$1" sh /finish && rm "$1/finish"',
    `--customize-hook=sync-out /var/cache/apt/archives ${quoted(packageCache)}`,
  ];
  await runTool(
    'mmdebstrap',
    [
      ...['--quiet', '--variant=minbase', '--mode=auto', '--architectures=amd64', '--format=tar'],
      ...['--skip=download/empty', '--skip=essential/unlink'],
      `--include=${PACKAGES.join(',')}`,
      '--aptopt=Apt::Install-Recommends "false"',
      '--aptopt=Acquire::Languages "none"',
      ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
      ...hooks,
      ...[SUITE, archive, lists],
    ],
    { signal, env: { TMPDIR: workDirectory } },
  );
  await rm(join(packageCache, 'partial'), { recursive: true, force: true });
}

async function diskLetter(): Promise<OwnFile> {
  const text = (await guestFile('disk-letter')).toString();
  return { path: '/usr/lib/varve/disk-letter', text, mode: '0755' };
}

/** Hooks that write files into the new system. */
async function uploads(hook: string, files: readonly OwnFile[], workDirectory: string): Promise<readonly string[]> {
  const hooks: string[] = [];
  for (const { path, text, mode } of files) {
    const source = join(workDirectory, path.replaceAll('/', '_'));
    await writeFile(source, text);
    hooks.push(
      `${hook}=mkdir -p "$1${path.slice(0, path.lastIndexOf('/'))}"`,
      `${hook}=upload ${quoted(source)} ${path}`,
      `${hook}=chmod ${mode} "$1${path}"`,
    );
  }
  return hooks;
}

async function kernelRelease(boot: string): Promise<string> {
  const [release, ...others] = (await readdir(boot)).flatMap((name) => /^vmlinuz-(.+)$/.exec(name)?.[1] ?? []);
  if (release === undefined || others.length > 0) throw new BlueprintError('the packages bring no kernel, or several');
  return release;
}

/** As a word of the shell that runs a hook. */
function quoted(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`;
}

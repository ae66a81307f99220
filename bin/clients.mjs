// The real clients that tests and the demonstration use, and the Debian packages that bring them: the one list of them.
// Run by itself it prints the packages that are missing (for .ci/run). Plain JavaScript, see node24.mjs.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Debian packages, and what a shell says when they are there. Debian's Python modules belong to Debian's Python. */
const PACKAGES = {
  awscli: 'command -v aws',
  'python3-boto3': '/usr/bin/python3 -c "import boto3"',
  'libnbd-bin': 'command -v nbdinfo',
  'python3-libnbd': '/usr/bin/python3 -c "import nbd"',
  nbdkit: 'command -v nbdkit',
  'qemu-utils': 'command -v qemu-img',
  fio: 'command -v fio',
  'openssh-client': 'command -v ssh && command -v ssh-keygen',
  // Machines, and the images that they boot.
  'qemu-system-x86': 'command -v qemu-system-x86_64',
  'debian-archive-keyring': 'test -e /usr/share/keyrings/debian-archive-keyring.gpg',
  dosfstools: 'PATH=$PATH:/sbin command -v mkfs.fat',
  fakeroot: 'command -v fakeroot',
  gdisk: 'PATH=$PATH:/sbin command -v sgdisk',
  mmdebstrap: 'command -v mmdebstrap',
  mtools: 'command -v mcopy',
  syslinux: 'command -v syslinux',
  xorriso: 'command -v xorriso',
  'syslinux-common': 'test -e /usr/lib/syslinux/mbr/gptmbr.bin',
  e2fsprogs: 'command -v mke2fs',
  fuse2fs: 'command -v fuse2fs',
  openssl: 'command -v openssl',
};

/** A Ceph cluster with an S3 gateway, 250 MB installed. */
const CEPH_PACKAGES = {
  radosgw: 'command -v radosgw',
  'ceph-mon': 'command -v ceph-mon && command -v ceph-authtool',
  'ceph-osd': 'command -v ceph-osd',
};

function isThere(test) {
  return spawnSync('sh', ['-c', test], { stdio: 'ignore' }).status === 0;
}

/** Names of packages that are not there. */
function missingPackages({ ceph }) {
  const packages = ceph ? { ...PACKAGES, ...CEPH_PACKAGES } : PACKAGES;
  return Object.keys(packages).filter((name) => !isThere(packages[name]));
}

/** Installs what is missing where that needs no question (root on Debian); else says how. Returns what is still missing. */
export function ensureClients({ ceph }) {
  const before = missingPackages({ ceph });
  if (before.length === 0) return before;
  const install = `apt-get install -y -qq --no-install-recommends ${before.join(' ')}`;
  if (process.getuid?.() === 0 && isThere('command -v apt-get')) {
    process.stderr.write(`installing the clients that judge the server: ${before.join(' ')}\n`);
    spawnSync('sh', ['-c', `apt-get update -qq && DEBIAN_FRONTEND=noninteractive ${install}`], {
      stdio: ['ignore', 2, 2],
    });
  }
  const after = missingPackages({ ceph });
  if (after.length > 0) process.stderr.write(`missing: ${after.join(', ')}. Install them with: sudo ${install}\n`);
  return after;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of missingPackages({ ceph: true })) process.stdout.write(`${name}\n`);
}

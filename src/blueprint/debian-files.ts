/** A file that the Debian image has beside Debian's own. */
export interface OwnFile {
  readonly path: string;
  readonly text: string;
  readonly mode: '0644' | '0755' | '0440';
}

const CLOUD_CONFIG = `# What a machine of this server needs of cloud-init, and no more: every module costs a second where processors are emulated.
datasource_list: [NoCloud]
# systemd-networkd has a file of its own.
network: {config: disabled}
ssh_deletekeys: true
ssh_genkeytypes: [ed25519]
disable_root: true
manage_etc_hosts: true
system_info:
  distro: debian
  default_user:
    name: admin
    lock_passwd: true
    gecos: Administrator
    groups: [adm, systemd-journal]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
cloud_init_modules: [seed_random, bootcmd, write_files, growpart, resizefs, set_hostname, update_hostname, update_etc_hosts, users_groups, ssh]
cloud_config_modules: [set_passwords, apt_configure, runcmd]
cloud_final_modules: [package_update_upgrade_install, write_files_deferred, scripts_per_once, scripts_per_boot, scripts_per_instance, scripts_user, final_message, power_state_change]
`;

/** Kernels that come by an upgrade are booted, too: what firmware reads is on a partition of its own. */
const COPY_KERNEL = `#!/bin/sh
# Brings the newest kernel and its initramfs to the partition that the machine is booted from.
set -e
[ -b /dev/vda1 ] || exit 0
kernel=$(ls -v /boot/vmlinuz-* | tail -n 1)
initrd=/boot/initrd.img-\${kernel#/boot/vmlinuz-}
[ -e "$initrd" ] || exit 0
mkdir -p /run/boot-partition
mount -t vfat /dev/vda1 /run/boot-partition
trap 'umount /run/boot-partition' EXIT
cp "$kernel" /run/boot-partition/vmlinuz.new
cp "$initrd" /run/boot-partition/initrd.new
sync -f /run/boot-partition
mv /run/boot-partition/vmlinuz.new /run/boot-partition/vmlinuz
mv /run/boot-partition/initrd.new /run/boot-partition/initrd.img
`;

/** Written before the kernel is installed, whose script makes the initramfs: it holds what a virtual disk needs. */
export const EARLY_FILES: readonly OwnFile[] = [
  { path: '/etc/initramfs-tools/conf.d/varve', text: 'MODULES=list\nCOMPRESS=zstd\n', mode: '0644' },
  {
    path: '/usr/share/initramfs-tools/modules.d/varve',
    text: 'virtio_pci\nvirtio_blk\nvirtio_scsi\nsd_mod\n',
    mode: '0644',
  },
];

export const OWN_FILES: readonly OwnFile[] = [
  { path: '/etc/cloud/cloud.cfg.d/90_varve.cfg', text: CLOUD_CONFIG, mode: '0644' },
  { path: '/etc/hostname', text: 'debian\n', mode: '0644' },
  // Not by a label: a disk of another machine's may be attached, which has the same.
  { path: '/etc/fstab', text: '/dev/vda2 / ext4 noatime,errors=remount-ro 0 1\n', mode: '0644' },
  {
    path: '/etc/systemd/network/20-wired.network',
    text: '[Match]\nType=ether\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\n',
    mode: '0644',
  },
  {
    // Two minutes otherwise, where a machine has no network.
    path: '/etc/systemd/system/systemd-networkd-wait-online.service.d/varve.conf',
    text: '[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=15\n',
    mode: '0644',
  },
  {
    // /dev/xvdf and /dev/sdf, by where a disk is plugged in.
    path: '/etc/udev/rules.d/70-varve-disks.rules',
    text: `SUBSYSTEM!="block", GOTO="end"
KERNEL=="vd*[!0-9]", PROGRAM="/usr/lib/varve/disk-letter %p", SYMLINK+="xvd%c sd%c"
KERNEL=="vd*[0-9]", PROGRAM="/usr/lib/varve/disk-letter %p", SYMLINK+="xvd%c%n sd%c%n"
LABEL="end"
`,
    mode: '0644',
  },
  { path: '/etc/kernel/postinst.d/zz-boot-partition', text: COPY_KERNEL, mode: '0755' },
  { path: '/etc/initramfs/post-update.d/zz-boot-partition', text: COPY_KERNEL, mode: '0755' },
];

/** In the new system, when all packages are there. */
export const FINISH_SCRIPT = `set -e
systemctl enable systemd-networkd systemd-resolved ssh > /dev/null 2>&1
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer > /dev/null 2>&1
ln -sfn /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
# Each machine has its own.
rm -f /etc/ssh/ssh_host_*_key* /var/lib/dbus/machine-id
: > /etc/machine-id
passwd -l root > /dev/null
`;

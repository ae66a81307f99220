import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';

import { assert } from '#base/assert.ts';
import type { InstanceId, VolumeId } from '#domain/ids.ts';

import { diskSerial, PLACE_MAX, SEED_PLACE, SYSTEM_PLACE } from './disk-places.ts';
import { HypervisorError, type MachineDisk, type PortForward } from './hypervisor.ts';

/** How guests reach the network. */
export type NetworkMode =
  /**
   * QEMU's own (slirp): no privileges needed; in come forwarded ports only. Without `outbound` nothing goes out. With it the
   * guest reaches all that this computer reaches, its loopback and its cloud's metadata service included.
   */
  | { readonly mode: 'user'; readonly outbound: boolean }
  /** A bridge of this computer, by QEMU's set-uid helper; the bridge's network gives addresses, and is the firewall. */
  | { readonly mode: 'bridge'; readonly bridge: string };

export interface PluggedDisk extends MachineDisk {
  /** The slot of its PCIe port, and the number of the bus behind it. */
  readonly place: number;
}

/** Everything that decides how QEMU is started. */
export interface Launch {
  readonly id: InstanceId;
  readonly cpuCount: number;
  readonly memoryMib: number;
  readonly accelerator: 'kvm' | 'tcg';
  readonly disks: readonly PluggedDisk[];
  readonly forwards: readonly PortForward[];
  readonly network: NetworkMode;
  readonly paths: LaunchPaths;
}

export interface LaunchPaths {
  readonly monitorSocket: string;
  readonly agentSocket: string;
  readonly consoleSocket: string;
  readonly consoleLog: string;
  readonly processFile: string;
  readonly seed: string;
}

/** The system's NBD servers may be away so long before the guest sees an error: a volume host starts anew within seconds. */
const RECONNECT_SECONDS = 30;
/** More makes nothing faster that was measured, and the default takes a gigabyte. */
const TRANSLATIONS_MIB = 64;

export const NETWORK_ID = 'net0';
export const AGENT_PORT = 'org.qemu.guest_agent.0';

/** Nothing on q35 that a server without a screen does not use: each device is time at boot, and code that guests can attack. */
const MACHINE = 'q35,smbus=off,sata=off,usb=off,vmport=off,hpet=off';

const CPU = {
  kvm: 'host',
  // x86-64-v2, which some distributions demand; all of it is emulated.
  tcg: 'Nehalem',
} as const;

/** QEMU's arguments. What is not a constant is in JSON, where QEMU takes it, or a path of ours. */
export function qemuArguments(launch: Launch): readonly string[] {
  const { paths } = launch;
  assert(Number.isSafeInteger(launch.cpuCount) && launch.cpuCount >= 1, 'a machine has processors');
  assert(Number.isSafeInteger(launch.memoryMib) && launch.memoryMib >= 1, 'a machine has memory');
  return [
    ...['-name', `guest=${launch.id}`],
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-machine', MACHINE, '-cpu', CPU[launch.accelerator]],
    ...['-accel', launch.accelerator === 'kvm' ? 'kvm' : `tcg,thread=multi,tb-size=${TRANSLATIONS_MIB}`],
    ...['-smp', `cpus=${launch.cpuCount}`, '-m', `size=${launch.memoryMib}M`],
    // A guest that shut down waits to be ended, so that it is told apart from a process that was killed.
    ...['-action', 'shutdown=pause'],
    ...['-sandbox', sandbox(launch.network)],
    ...['-pidfile', paths.processFile],
    ...['-chardev', `socket,id=monitor,path=${optionValue(paths.monitorSocket)},server=on,wait=off`],
    ...['-mon', 'chardev=monitor,mode=control'],
    ...ports(),
    ...launch.disks.flatMap((disk) => [
      ...['-blockdev', JSON.stringify(diskNode(disk))],
      ...['-device', JSON.stringify({ ...diskDevice(disk), bootindex: launch.disks.indexOf(disk) })],
    ]),
    ...seed(paths.seed),
    ...network(launch),
    ...console(paths),
    ...agent(paths),
    ...['-object', JSON.stringify({ 'qom-type': 'rng-builtin', id: 'entropy' })],
    ...['-device', JSON.stringify({ driver: 'virtio-rng-pci', rng: 'entropy', bus: 'pcie.0', addr: '1d' })],
  ];
}

export function nodeName(volume: VolumeId): string {
  return `node-${diskSerial(volume)}`;
}

export function deviceName(volume: VolumeId): string {
  return `disk-${diskSerial(volume)}`;
}

/** For `-blockdev` and `blockdev-add`. */
export function diskNode(disk: MachineDisk): Readonly<Record<string, unknown>> {
  return {
    driver: 'nbd',
    'node-name': nodeName(disk.volume),
    server: { type: 'unix', path: disk.socketPath },
    export: disk.exportName,
    'reconnect-delay': RECONNECT_SECONDS,
    discard: 'unmap',
    'detect-zeroes': 'unmap',
  };
}

/** For `-device` and `device_add`. */
export function diskDevice(disk: PluggedDisk): Readonly<Record<string, unknown>> {
  return {
    driver: 'virtio-blk-pci',
    id: deviceName(disk.volume),
    drive: nodeName(disk.volume),
    serial: diskSerial(disk.volume),
    bus: portName(disk.place),
  };
}

/** `tcp:127.0.0.1:2222-:22`: a rule of QEMU's user network. Throws where it could not be one. */
export function forwardRule(forward: PortForward): string {
  assert(isPort(forward.guestPort), 'a forwarded port is a number from 1 to 65535');
  return `${hostSide(forward)}-:${forward.guestPort}`;
}

/** `tcp:127.0.0.1:2222`: names the rule when it is removed. */
export function hostSide({ protocol, hostAddress, hostPort }: PortForward): string {
  assert(protocol === 'tcp' || protocol === 'udp', 'a port is of TCP or UDP');
  assert(isPort(hostPort), 'a forwarded port is a number from 1 to 65535');
  if (!isIPv4(hostAddress)) throw new HypervisorError('resources', 'ports are forwarded from IPv4 addresses only');
  return `${protocol}:${hostAddress}:${hostPort}`;
}

function isPort(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1 && value <= 65_535;
}

/** A value in a list of options: a comma that belongs to it is written twice. */
function optionValue(value: string): string {
  return value.replaceAll(',', ',,');
}

/** Nothing in the process may start another, or become another user. The bridge's helper is both. */
function sandbox(mode: NetworkMode): string {
  const helper = mode.mode === 'bridge' ? 'allow' : 'deny';
  return `on,obsolete=deny,elevateprivileges=${helper},spawn=${helper},resourcecontrol=deny`;
}

function portName(place: number): string {
  assert(place >= SYSTEM_PLACE && place <= SEED_PLACE, 'a disk is in one of the ports');
  return `port${place}`;
}

/** Ports in the order of their slots: firmware and guests number the buses behind them in that order. */
function ports(): readonly string[] {
  return Array.from({ length: SEED_PLACE }, (_, index) => {
    const place = index + SYSTEM_PLACE;
    const device = { driver: 'pcie-root-port', id: portName(place), bus: 'pcie.0', addr: place.toString(16) };
    // Virtio needs no I/O ports there, and a PC has too few for so many buses.
    return ['-device', JSON.stringify({ ...device, chassis: place, slot: place, 'io-reserve': 0 })];
  }).flat();
}

/** Behind all disks, so that Linux gives it the last name. */
function seed(path: string): readonly string[] {
  assert(SEED_PLACE > PLACE_MAX, 'the seed is behind the disks');
  const file = { driver: 'file', filename: path, 'read-only': true };
  return [
    ...['-blockdev', JSON.stringify({ driver: 'raw', 'node-name': 'seed', 'read-only': true, file })],
    '-device',
    JSON.stringify({ driver: 'virtio-blk-pci', id: 'seed', drive: 'seed', serial: 'seed', bus: portName(SEED_PLACE) }),
  ];
}

function network({ id, network: mode, forwards }: Launch): readonly string[] {
  const backend =
    mode.mode === 'user'
      ? {
          type: 'user',
          id: NETWORK_ID,
          restrict: !mode.outbound,
          hostfwd: forwards.map((forward) => ({ str: forwardRule(forward) })),
        }
      : { type: 'bridge', id: NETWORK_ID, br: mode.bridge };
  const device = { driver: 'virtio-net-pci', netdev: NETWORK_ID, mac: macAddress(id), bus: 'pcie.0', addr: '1e' };
  // No boot from the network: its firmware would be loaded at each start.
  return ['-netdev', JSON.stringify(backend), '-device', JSON.stringify({ ...device, romfile: '' })];
}

/** Of its own, and the same for as long as the instance lives: locally administered, not a group's. */
export function macAddress(id: InstanceId): string {
  const bytes = createHash('sha256').update(id).digest().subarray(0, 5);
  return ['02', ...Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

function console(paths: LaunchPaths): readonly string[] {
  const log = `logfile=${optionValue(paths.consoleLog)},logappend=on`;
  return [
    ...['-chardev', `socket,id=console,path=${optionValue(paths.consoleSocket)},server=on,wait=off,${log}`],
    ...['-device', JSON.stringify({ driver: 'isa-serial', chardev: 'console' })],
  ];
}

function agent(paths: LaunchPaths): readonly string[] {
  return [
    ...['-chardev', `socket,id=agent,path=${optionValue(paths.agentSocket)},server=on,wait=off`],
    ...['-device', JSON.stringify({ driver: 'virtio-serial-pci', id: 'serial', bus: 'pcie.0', addr: '1c' })],
    '-device',
    JSON.stringify({ driver: 'virtserialport', bus: 'serial.0', chardev: 'agent', id: 'agent', name: AGENT_PORT }),
  ];
}

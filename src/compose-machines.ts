import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { currentBoot } from '#base/boot.ts';
import { computerMemory } from '#base/computer-memory.ts';
import { systemClock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import type { MachinePlace } from '#control/ports.ts';
import type { Hypervisor } from '#machine/hypervisor.ts';
import { QemuHypervisor } from '#machine/qemu-hypervisor.ts';
import type { Config } from './config.ts';

/** Of Unix. */
const LOWEST_PORT_DEFAULT = 1024;

/** Where no machine can be run, it is said once; all else works. */
export async function openHypervisor(
  { dataDirectory, machineNetwork }: Config,
  { socketDirectory, log }: { readonly socketDirectory: string; readonly log: Log },
): Promise<Hypervisor> {
  const hypervisor = await QemuHypervisor.open({
    machinesDirectory: join(dataDirectory, 'machines'),
    socketDirectory,
    network: machineNetwork,
    clock: systemClock,
    random: systemRandom,
    log,
  });
  // Nobody waits for it: disks and snapshots are served meanwhile.
  void tellHindrance(hypervisor, log);
  return hypervisor;
}

/** Ports of machines are where the API is; of all addresses, on the one that leads nowhere else. */
export function machinePlace(
  config: Pick<Config, 'host' | 'machineNetwork' | 'machineAddresses' | 'machineOvercommit'>,
): MachinePlace {
  const { host, machineNetwork, machineAddresses, machineOvercommit: overcommit } = config;
  const isOneAddress = isIP(host) === 4 && host !== '0.0.0.0';
  return {
    address: isOneAddress ? host : '127.0.0.1',
    addresses: machineNetwork.mode === 'bridge' ? null : machineAddresses,
    lowestPort: lowestPort(),
    memory: () => {
      const memory = computerMemory();
      return memory === null ? null : { ...memory, overcommit };
    },
    boot: currentBoot(),
  };
}

/** What Linux lets a process open that has no privileges; QEMU has none but the superuser's. */
function lowestPort(): number {
  if (process.geteuid?.() === 0) return 1;
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  } catch {
    return LOWEST_PORT_DEFAULT; // No Linux.
  }
}

async function tellHindrance(hypervisor: QemuHypervisor, log: Log): Promise<void> {
  const reason = await hypervisor.hindrance();
  if (reason !== null) log.info('instances cannot be run', { reason });
}

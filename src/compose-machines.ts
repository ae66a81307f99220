import { isIP } from 'node:net';
import { join } from 'node:path';
import { currentBoot } from '#base/boot.ts';
import { systemClock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import type { MachinePlace } from '#control/ports.ts';
import type { Hypervisor } from '#machine/hypervisor.ts';
import { QemuHypervisor } from '#machine/qemu-hypervisor.ts';
import type { Config } from './config.ts';

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
  void hypervisor.hindrance().then((reason) => {
    if (reason !== null) log.info('instances cannot be run', { reason });
  });
  return hypervisor;
}

/** Ports of machines are where the API is; of all addresses, on the one that leads nowhere else. */
export function machinePlace({ host }: Pick<Config, 'host'>): MachinePlace {
  const isOneAddress = isIP(host) === 4 && host !== '0.0.0.0';
  return { address: isOneAddress ? host : '127.0.0.1', boot: currentBoot() };
}

import { isIP } from 'node:net';
import { currentBoot } from '#base/boot.ts';
import type { Log } from '#base/log.ts';
import type { MachinePlace } from '#control/ports.ts';
import type { Hypervisor } from '#machine/hypervisor.ts';
import { NoHypervisor } from '#machine/no-hypervisor.ts';
import type { Config } from './config.ts';

/** Where no machine can be run, it is said once; all else works. */
export async function openHypervisor(options: { readonly log: Log }): Promise<Hypervisor> {
  const hypervisor = new NoHypervisor({
    version: null,
    missing: ['qemu-system-x86'],
    note: 'qemu-system-x86_64 is not used by this version of the server',
  });
  const { accelerator, note, missing } = await hypervisor.capabilities();
  if (accelerator === null) options.log.info('machines cannot be run', { note, missing });
  return hypervisor;
}

/** Ports of machines are where the API is; of all addresses, on the one that leads nowhere else. */
export function machinePlace({ host }: Pick<Config, 'host'>): MachinePlace {
  const isOneAddress = isIP(host) === 4 && host !== '0.0.0.0';
  return { address: isOneAddress ? host : '127.0.0.1', boot: currentBoot() };
}

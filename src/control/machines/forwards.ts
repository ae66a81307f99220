import type { Instance } from '#domain/instance.ts';
import { reachablePorts } from '#domain/open-ports.ts';
import { HypervisorError, type MachineStatus, type PortForward } from '#machine/hypervisor.ts';
import type { ControlPorts, MachinePlace } from '#control/ports.ts';

/*
 * Which ports of this computer lead to a machine. Always one to its ssh port; and, where machines have addresses of their own
 * (`machinePlace.addresses`), the machine's open ports at its address: each under its own number, or 20,000 higher where this
 * process may not have that number, or another program has it.
 */

/** Open ports of one machine that are forwarded; each is a socket of its process. */
export const FORWARD_COUNT_MAX = 128;
/** Port 80 is found at 20080. */
const HIGH_PORTS = 20_000;
const PORT_MAX = 65_535;

/** Of every machine that runs, under whatever address. */
export function sshForward({ address }: MachinePlace, { sshPort }: Instance): PortForward {
  return { protocol: 'tcp', hostAddress: address, hostPort: sshPort, guestPort: 22 };
}

/** Whether the forwards are not as they should be. */
export function hasOtherForwards(place: MachinePlace, instance: Instance, { forwards }: MachineStatus): boolean {
  const wanted = wantedForwards(place, instance);
  const isStray = forwards.some((forward) => !wanted.some((want) => isMet(want, forward)));
  return isStray || wanted.some((want) => !forwards.some((forward) => isMet(want, forward)));
}

interface WantedForward extends Omit<PortForward, 'hostPort'> {
  /** In the order in which they are tried. */
  readonly hostPorts: readonly number[];
}

function isMet(want: WantedForward, forward: PortForward): boolean {
  return (
    want.protocol === forward.protocol &&
    want.hostAddress === forward.hostAddress &&
    want.guestPort === forward.guestPort &&
    want.hostPorts.includes(forward.hostPort)
  );
}

function wantedForwards(place: MachinePlace, instance: Instance): readonly WantedForward[] {
  const { hostPort, ...ssh } = sshForward(place, instance);
  const { address: hostAddress } = instance;
  if (place.addresses === null || hostAddress === null) return [{ ...ssh, hostPorts: [hostPort] }];
  const open = reachablePorts(instance.openPorts, hostAddress, FORWARD_COUNT_MAX);
  const taken = new Set(open.map(({ protocol, port }) => `${protocol} ${port}`));
  const wanted = open.map(({ protocol, port }): WantedForward => {
    const high = port + HIGH_PORTS;
    const hostPorts = [
      ...(port >= place.lowestPort ? [port] : []),
      // Another open port of the machine goes first.
      ...(high <= PORT_MAX && !taken.has(`${protocol} ${high}`) ? [high] : []),
    ];
    return { protocol, hostAddress, guestPort: port, hostPorts };
  });
  return [{ ...ssh, hostPorts: [hostPort] }, ...wanted.filter(({ hostPorts }) => hostPorts.length > 0)];
}

/**
 * Opens and closes ports of a machine that runs. A port that another program has is left out, and tried again at the next
 * look: the machine runs all the same. Throws HypervisorError for all else.
 */
export async function bringForwards(ports: ControlPorts, instance: Instance, status: MachineStatus): Promise<void> {
  const { hypervisor, machinePlace, log } = ports;
  const wanted = wantedForwards(machinePlace, instance);
  let current = status.forwards.filter((forward) => wanted.some((want) => isMet(want, forward)));
  // What is not wanted any more goes first: its ports may be needed.
  if (current.length < status.forwards.length) await hypervisor.forward(instance.id, current);
  const missing: number[] = [];
  for (const { hostPorts, ...want } of wanted) {
    if (current.some((forward) => isMet({ ...want, hostPorts }, forward))) continue;
    let isOpen = false;
    for (const hostPort of hostPorts) {
      const next = [...current, { ...want, hostPort }];
      isOpen = await isDone(hypervisor.forward(instance.id, next));
      if (!isOpen) continue;
      current = next;
      break;
    }
    if (!isOpen) missing.push(want.guestPort);
  }
  if (missing.length > 0) log.warn('instance.ports', { instance: instance.id, address: instance.address, missing });
}

/** False: somebody else has the port. */
async function isDone(forwarded: Promise<void>): Promise<boolean> {
  try {
    await forwarded;
    return true;
  } catch (error) {
    if (error instanceof HypervisorError && error.problem === 'port-taken') return false;
    throw error;
  }
}

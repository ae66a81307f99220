import { type PortForward, HypervisorError } from './hypervisor.ts';
import { forwardRule, hostSide, NETWORK_ID } from './qemu-arguments.ts';
import type { Qmp } from './qmp.ts';

/**
 * Brings the forwarded ports of QEMU's user network from what they are to what they should be, one by one; calls back after
 * each with what they are. There is no command of QMP's own for it, only the one for people; its arguments are checked
 * numbers and addresses. Throws `port-taken`.
 */
export async function changeForwards(
  qmp: Qmp,
  before: readonly PortForward[],
  wanted: readonly PortForward[],
  onChange: (forwards: readonly PortForward[]) => Promise<void>,
): Promise<void> {
  let current = before;
  for (const forward of before) {
    if (wanted.some((other) => isSame(forward, other))) continue;
    const said = await humanCommand(qmp, `hostfwd_remove ${NETWORK_ID} ${hostSide(forward)}`);
    if (!/removed|not found/.test(said)) throw new HypervisorError('failed', `a port stays open: ${said}`);
    current = current.filter((other) => other !== forward);
    await onChange(current);
  }
  for (const forward of wanted) {
    if (current.some((other) => isSame(forward, other))) continue;
    const said = await humanCommand(qmp, `hostfwd_add ${NETWORK_ID} ${forwardRule(forward)}`);
    if (said !== '') throw new HypervisorError('port-taken', `port ${forward.hostPort} cannot be opened: ${said}`);
    current = [...current, forward];
    await onChange(current);
  }
}

/** What it prints; for these commands nothing when all is well. */
async function humanCommand(qmp: Qmp, line: string): Promise<string> {
  const said = await qmp.execute('human-monitor-command', { 'command-line': line });
  return typeof said === 'string' ? said.trim() : '';
}

function isSame(a: PortForward, b: PortForward): boolean {
  return forwardRule(a) === forwardRule(b);
}

import type { GuestAgent } from './guest-agent.ts';
import type { MachineUsage } from './hypervisor.ts';
import { members } from './json-lines.ts';
import { threadSeconds } from './qemu-process.ts';
import type { Qmp } from './qmp.ts';

const AGENT_MS_MAX = 3_000;

/** The kernel's threads that are the machine's virtual processors: the same for as long as QEMU runs. */
export async function processorThreads(qmp: Qmp): Promise<readonly number[]> {
  const processors = await qmp.execute('query-cpus-fast');
  if (!Array.isArray(processors)) return [];
  return processors.map((processor) => members(processor)?.['thread-id']).filter((id) => typeof id === 'number');
}

/**
 * QEMU 7.2 counts no bytes of its user network, so the guest's own counters are asked for, by its agent. They are its word
 * alone, and begin anew when it boots.
 */
export async function machineUsage(
  processId: number,
  threadIds: readonly number[],
  agent: GuestAgent | null,
): Promise<MachineUsage> {
  const cpuSeconds = await threadSeconds(processId, threadIds);
  const network = agent === null ? null : await networkBytes(agent).catch(() => null); // A guest that is frozen, or lies.
  return { cpuSeconds, receivedBytes: network?.received ?? null, sentBytes: network?.sent ?? null };
}

async function networkBytes(agent: GuestAgent): Promise<{ readonly received: number; readonly sent: number } | null> {
  const interfaces = await agent.call('guest-network-get-interfaces', { timeoutMs: AGENT_MS_MAX });
  if (!Array.isArray(interfaces)) return null;
  let received = 0;
  let sent = 0;
  for (const value of interfaces) {
    const found = members(value);
    const statistics = members(found?.['statistics']);
    if (found?.['name'] === 'lo' || statistics === null) continue;
    received += count(statistics['rx-bytes']);
    sent += count(statistics['tx-bytes']);
  }
  return { received, sent };
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

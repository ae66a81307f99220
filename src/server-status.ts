import type { Control } from '#control/control.ts';

import type { RecentTroubles } from './cli/recent-troubles.ts';
import { version } from './cli/version.ts';

/** Snapshots that are being stored and are shown one by one. */
const PENDING_SHOWN = 1000;

/** What `GET /status` of the operator's socket answers: how a running server is. What the volume host does not answer is null. */
export async function statusOf(server: {
  readonly control: Control;
  readonly hostProcessId: number;
  readonly startedAtMs: number;
  readonly troubles: RecentTroubles;
}): Promise<Readonly<Record<string, unknown>>> {
  const { control, startedAtMs } = server;
  const { host, meta } = control.ports;
  const orNull = <R>(asked: Promise<R>): Promise<R | null> => asked.catch(() => null);
  const page = { after: 0, countMax: PENDING_SHOWN };
  const [clients, uploads, records] = await Promise.all([
    orNull(host.clients()),
    orNull(host.progress()),
    meta.read(async (tx) => ({
      accounts: await tx.accounts.list(),
      pending: await tx.snapshots.inState(['cutting', 'pending'], page),
    })),
  ]);
  return {
    version: version(),
    node: process.versions.node,
    processId: process.pid,
    hostProcessId: server.hostProcessId,
    startedAtMs,
    clients,
    clock: control.ports.time.state(),
    accountCount: records.accounts.length,
    pendingSnapshotCount: records.pending.length,
    uploadCount: uploads === null ? null : Object.keys(uploads).length,
    tasks: control.tasks(),
    troubles: server.troubles.all,
  };
}

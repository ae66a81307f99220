import { refuse } from '#domain/errors.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { INSTANCES } from './records.ts';

/** Below the ports that Linux gives to outgoing connections, so that those do not take them. */
const PORT_MIN = 22_000;
const PORT_MAX = 31_999;

/** A port that no machine of any account has; `also`: ones that somebody else of this computer has. Refuses: limit. */
export async function freeSshPort(tx: ReadTx, also: ReadonlySet<number> = new Set()): Promise<number> {
  const rows = await tx.documents.all(INSTANCES, { after: 0, countMax: Number.MAX_SAFE_INTEGER });
  const taken = new Set(
    rows.flatMap(({ record: { record } }) => (record.state === 'terminated' ? [] : [record.sshPort])),
  );
  for (let port = PORT_MIN; port <= PORT_MAX; port += 1) if (!taken.has(port) && !also.has(port)) return port;
  return refuse({ kind: 'limit', limit: 'resources', max: PORT_MAX - PORT_MIN + 1 });
}

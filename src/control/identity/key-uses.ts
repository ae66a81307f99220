import type { ControlPorts } from '#control/ports.ts';
import type { AccountId } from '#domain/ids.ts';
import type { Caller } from './callers.ts';
import { inAccount, type UseRecord, USES } from './records.ts';

/** AWS is a quarter of an hour behind; a minute is one write for many calls. */
const PERIOD_MS = 60_000;
/** Of what is noted in memory; what is forgotten is written once more. */
const NOTED_MAX = 10_000;

/** Notes when keys of users, and roles, were last used: in the metadata at most once a minute each, and never in a call's way. */
export class KeyUses {
  readonly #ports: Pick<ControlPorts, 'meta' | 'clock' | 'log'>;
  readonly #noted = new Map<string, number>();
  readonly #writing = new Set<Promise<void>>();

  constructor(ports: Pick<ControlPorts, 'meta' | 'clock' | 'log'>) {
    this.#ports = ports;
  }

  note({ principal, key }: Caller, service: string, region: string): void {
    if (principal.kind === 'root') return;
    const id = principal.kind === 'role' ? principal.roleId : key.accessKeyId;
    const atMs = this.#ports.clock.nowMs();
    const noted = this.#noted.get(id);
    if (noted !== undefined && Math.abs(atMs - noted) < PERIOD_MS) return;
    if (this.#noted.size >= NOTED_MAX) this.#noted.clear();
    this.#noted.set(id, atMs);
    const writing = this.#write(principal.account, { id, atMs, service, region }).finally(() =>
      this.#writing.delete(writing),
    );
    this.#writing.add(writing);
  }

  /** When everything noted is written. */
  async settled(): Promise<void> {
    await Promise.all(this.#writing);
  }

  async #write(account: AccountId, use: UseRecord): Promise<void> {
    const { meta, log } = this.#ports;
    try {
      await meta.transact(async (tx) => {
        const scope = inAccount(account);
        const known = await tx.documents.find(USES, scope, use.id);
        await (known === null ? tx.documents.insert(USES, scope, use) : tx.documents.update(USES, scope, use));
      });
    } catch (error) {
      log.warn('the use of a key was not noted', { error });
    }
  }
}

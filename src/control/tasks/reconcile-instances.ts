import { bringInstance, needsWork } from '#control/machines/bring.ts';
import { INSTANCES } from '#control/machines/records.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { InstanceId } from '#domain/ids.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task, type TaskReport } from './task.ts';

/** Machines that are worked on at once. Most of the time a worker waits for a guest: those that do not heed hold up no others. */
const CONCURRENCY_MAX = 64;

/**
 * Brings machines from what they are to what they should be (machines/bring.ts), each by a worker of its own: one that takes
 * long to stop holds up no other. An activation lasts as long as anything is worked on; when nudged it looks again. What
 * failed, or waits, is not tried again before that.
 */
export class ReconcileInstances implements Task {
  readonly name = 'reconcile-instances';
  readonly periodMs = 30_000;
  readonly startDelayMs = 0;
  readonly wakeDelayMs = 0;
  readonly #ports: ControlPorts;
  #stirred = Promise.withResolvers<void>();
  #isStirred = false;

  constructor(ports: ControlPorts) {
    this.#ports = ports;
  }

  nudge(): void {
    this.#isStirred = true;
    this.#stirred.resolve();
  }

  async activate(signal: AbortSignal): Promise<TaskReport> {
    const tally = new Tally();
    const workers = new Map<InstanceId, Promise<void>>();
    /** Done for now: until something stirs. */
    const rested = new Set<InstanceId>();
    const onAbort = (): void => this.nudge();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      do {
        this.#stirred = Promise.withResolvers<void>();
        if (this.#isStirred) rested.clear();
        this.#isStirred = false;
        signal.throwIfAborted();
        await this.#begin(signal, workers, rested, tally);
        if (workers.size > 0) await Promise.race([...workers.values(), this.#stirred.promise]);
      } while (workers.size > 0 || this.#isStirred);
      return tally.report();
    } finally {
      signal.removeEventListener('abort', onAbort);
      await Promise.all(workers.values());
    }
  }

  async #begin(
    signal: AbortSignal,
    workers: Map<InstanceId, Promise<void>>,
    rested: Set<InstanceId>,
    tally: Tally,
  ): Promise<void> {
    const ports = this.#ports;
    const rows = eachRow((page) => ports.meta.read((tx) => tx.documents.all(INSTANCES, page)), signal);
    const statuses = new Map((await ports.hypervisor.list()).map((one) => [one.id, one]));
    const unknown = new Set(statuses.keys());
    const work = (id: InstanceId): void => {
      rested.add(id);
      workers.set(
        id,
        this.#bring(id, tally, signal).finally(() => workers.delete(id)),
      );
    };
    for await (const { record: instance } of rows) {
      const { id } = instance;
      unknown.delete(id);
      if (workers.size >= CONCURRENCY_MAX) return;
      if (workers.has(id) || rested.has(id)) continue;
      if (!needsWork(ports.machinePlace, instance, statuses.get(id) ?? null)) continue;
      work(id);
    }
    // Machines of which there is no record: the metadata is older than they are.
    for (const id of unknown) if (workers.size < CONCURRENCY_MAX && !workers.has(id) && !rested.has(id)) work(id);
  }

  async #bring(id: InstanceId, tally: Tally, signal: AbortSignal): Promise<void> {
    try {
      if ((await bringInstance(this.#ports, id, signal)) === 'done') tally.done();
      else tally.remaining();
    } catch (error) {
      if (signal.aborted) return;
      this.#ports.log.warn('instance.reconcile', { instance: id, error });
      tally.failed();
    }
  }
}

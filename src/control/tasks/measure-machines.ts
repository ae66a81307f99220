import { evaluateAlarms } from '#control/machines/alarms.ts';
import { stopIdle } from '#control/machines/idle.ts';
import { MachineMeter } from '#control/machines/machine-meter.ts';
import { pruneMetrics, recordPoint } from '#control/machines/metrics.ts';
import { INSTANCES } from '#control/machines/records.ts';
import type { ControlPorts } from '#control/ports.ts';
import { dateOf } from '#domain/add-on.ts';
import type { InstanceId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import type { MetricPoint } from '#domain/metric.ts';
import type { MachineStatus } from '#machine/hypervisor.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task, type TaskReport } from './task.ts';

/** Guests that are asked at once; one that does not answer costs some seconds. */
const CONCURRENCY_MAX = 8;

interface Measured {
  readonly instance: Instance;
  readonly point: MetricPoint;
}

/** Reads what each machine that runs has used, keeps it, and does what depends on it: machines that idle are stopped, alarms go off. */
export class MeasureMachines implements Task {
  readonly name = 'measure-machines';
  readonly periodMs = 60_000;
  readonly startDelayMs = 10_000;
  readonly wakeDelayMs = 0;
  readonly #ports: ControlPorts;
  readonly #meters = new Map<InstanceId, MachineMeter>();
  /** The last day on which old points were forgotten. */
  #prunedDate = '';

  constructor(ports: ControlPorts) {
    this.#ports = ports;
  }

  async activate(signal: AbortSignal): Promise<TaskReport> {
    const ports = this.#ports;
    const tally = new Tally();
    const all = new Set<InstanceId>();
    const running: Instance[] = [];
    for await (const { record } of eachRow(
      (page) => ports.meta.read((tx) => tx.documents.all(INSTANCES, page)),
      signal,
    )) {
      all.add(record.id);
      if (record.state === 'running') running.push(record);
    }
    for (const id of this.#meters.keys()) if (!all.has(id)) this.#meters.delete(id);
    const measured = running.length === 0 ? [] : await this.#measure(running, tally, signal);
    if (measured.length > 0) {
      await ports.meta.transact(async (tx) => {
        for (const { instance, point } of measured) await recordPoint(tx, instance, point);
      });
    }
    await stopIdle(ports, signal);
    await evaluateAlarms(ports, signal);
    await this.#prune(all);
    return tally.report();
  }

  async #measure(running: readonly Instance[], tally: Tally, signal: AbortSignal): Promise<readonly Measured[]> {
    const statuses = new Map((await this.#ports.hypervisor.list()).map((status) => [status.id, status]));
    const left = [...running];
    const measured: Measured[] = [];
    const work = async (): Promise<void> => {
      for (let instance = left.pop(); instance !== undefined; instance = left.pop()) {
        signal.throwIfAborted();
        const status = statuses.get(instance.id);
        const point = status === undefined ? null : await this.#read(instance, status, tally);
        if (point !== null) measured.push({ instance, point });
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY_MAX }, work));
    return measured;
  }

  async #read(instance: Instance, status: MachineStatus, tally: Tally): Promise<MetricPoint | null> {
    const { hypervisor, clock, log } = this.#ports;
    try {
      const usage = await hypervisor.usage(instance.id);
      if (usage === null) return null;
      const meter = this.#meters.get(instance.id) ?? new MachineMeter();
      this.#meters.set(instance.id, meter);
      tally.done();
      return meter.read(instance, status, usage, { nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() });
    } catch (error) {
      // It may have ended between two looks; the next one tells.
      log.info('instance.measure', { instance: instance.id, error });
      return null;
    }
  }

  async #prune(all: ReadonlySet<InstanceId>): Promise<void> {
    const date = dateOf(this.#ports.clock.nowMs());
    if (date === this.#prunedDate) return;
    await pruneMetrics(this.#ports, (id) => all.has(id));
    this.#prunedDate = date;
  }
}

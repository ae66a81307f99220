import type { Clock } from '#base/clock.ts';
import { SteadyTime, type TimeMark, type TimeState } from '#base/steady-time.ts';
import type { Uptime } from '#base/uptime.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import type { ControlPorts } from './ports.ts';

/** The name of the setting that keeps what the last process knew of the time. */
const SETTING = 'time-mark';

/** The time as the last process on these metadata left it; the wall clock's where there was none. */
export async function openSteadyTime(meta: MetaStore, clock: Clock, uptime: Uptime): Promise<SteadyTime> {
  const kept = await meta.read((tx) => tx.settings.get(SETTING));
  return new SteadyTime(clock, uptime, kept === null ? null : parseMark(kept));
}

export async function keepTimeMark({ meta }: Pick<ControlPorts, 'meta'>, mark: TimeMark): Promise<void> {
  await meta.transact((tx) => tx.settings.put(SETTING, JSON.stringify(mark)));
}

/** Whoever runs the server says that its wall clock is right: what that makes due is done soon. */
export async function acceptClock(ports: ControlPorts): Promise<TimeState> {
  const before = ports.time.state();
  await keepTimeMark(ports, ports.time.accept());
  ports.log.warn('clock.accepted', { differenceMs: before.wallMs - before.estimateMs });
  for (const task of ['empty-bin', 'tend-keys', 'tend-tiers', 'run-policies', 'prune'] as const) ports.wake(task);
  return ports.time.state();
}

/** Throws Error when the setting was written by another hand. */
function parseMark(text: string): TimeMark {
  const { wallMs, estimateMs, steadyMs, bootId, uptimeMs } = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
  const isKnown = isTime(wallMs) && isTime(estimateMs) && isTime(steadyMs) && isTime(uptimeMs);
  if (!isKnown || (bootId !== null && typeof bootId !== 'string')) {
    throw new Error(`the setting ${SETTING} of the metadata is not one of this program`);
  }
  return { wallMs, estimateMs, steadyMs, bootId, uptimeMs };
}

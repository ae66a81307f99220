import type { ControlPorts } from '#control/ports.ts';
import { keepTimeMark } from '#control/steady-time.ts';
import type { Task } from './task.ts';

/** Keeps what is known of the time, and tells when the wall clock jumped and when it is believed again. */
export function watchClock(ports: ControlPorts): Task {
  let wasHeld = false;
  return {
    name: 'watch-clock',
    periodMs: 60_000,
    startDelayMs: 0,
    wakeDelayMs: 0,
    async activate() {
      await keepTimeMark(ports, ports.time.look());
      const { wallMs, estimateMs, isHeld, believedInMs } = ports.time.state();
      if (isHeld && !wasHeld) {
        ports.log.error('clock.jumped', {
          differenceMs: Math.round(wallMs - estimateMs),
          expectedTime: new Date(estimateMs).toISOString(),
          believedInMs: Math.round(believedInMs),
          what: 'nothing is deleted because its time is over until the clock is believed; "varve clock" says more',
        });
      }
      if (!isHeld && wasHeld) ports.log.info('clock.believed', { time: new Date(wallMs).toISOString() });
      wasHeld = isHeld;
      return { done: 0, failed: 0, remaining: isHeld ? 1 : 0 };
    },
  };
}

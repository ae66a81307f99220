import { METRICS_KEPT_MS, readPoints } from '#control/machines/metrics.ts';
import { findInstance } from '#control/machines/records.ts';
import { type Datapoint, datapoints, isMetricName, METRICS, type MetricUnit } from '#domain/metric.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  GetInstanceMetricDataRequest,
  GetInstanceMetricDataResult,
  MetricDatapoint,
  MetricStatistic,
} from '#wire/aws/models/lightsail.ts';
import { refuseInvalid } from './errors.ts';

/** Periods are whole minutes. */
const PERIOD_SECONDS = 60;

/** Of what is not measured here there is nothing; nor in a unit that the metric does not have. */
export async function getInstanceMetricData(
  { ports, scope }: CallContext,
  input: GetInstanceMetricDataRequest,
): Promise<GetInstanceMetricDataResult> {
  const { instanceName: name, metricName, period, unit, statistics } = input;
  const endMs = input.endTime.getTime();
  const startMs = Math.max(input.startTime.getTime(), ports.clock.nowMs() - METRICS_KEPT_MS);
  if (input.startTime.getTime() >= endMs) {
    refuseInvalid('The startTime is not before the endTime.', 'Correct the times.');
  }
  if (period < PERIOD_SECONDS || period % PERIOD_SECONDS !== 0) {
    refuseInvalid(`The period is a multiple of ${PERIOD_SECONDS} seconds.`, 'Correct the period.');
  }
  const instance = await findInstance(ports, scope, { name });
  if (!isMetricName(metricName) || METRICS[metricName].unit !== unit) return { metricName, metricData: [] };
  const endOfAllMs = Math.min(endMs, ports.clock.nowMs());
  const points = await ports.meta.read((tx) => readPoints(tx, instance, { startMs, endMs: endOfAllMs }));
  const found = datapoints(points, metricName, period * 1000);
  return { metricName, metricData: found.map((one) => datapointView(one, unit, statistics)) };
}

/** With the statistics that were asked for. */
function datapointView(
  { startMs, count, sum, minimum, maximum }: Datapoint,
  unit: MetricUnit,
  statistics: readonly MetricStatistic[],
): MetricDatapoint {
  return {
    timestamp: new Date(startMs),
    unit,
    ...(statistics.includes('Average') ? { average: sum / count } : {}),
    ...(statistics.includes('Maximum') ? { maximum } : {}),
    ...(statistics.includes('Minimum') ? { minimum } : {}),
    ...(statistics.includes('SampleCount') ? { sampleCount: count } : {}),
    ...(statistics.includes('Sum') ? { sum } : {}),
  };
}

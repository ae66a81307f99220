/** Opens the store at an endpoint, puts an object and gets it back: for tests that need a process with an environment of its own. */
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openS3Store } from '#chunk/s3-open.ts';

const [bucket = '', region = '', endpoint = ''] = process.argv.slice(2);
const content = systemRandom.bytes(3_000_000);
await using store = await openS3Store({
  location: { bucket, prefix: 'p/', region, endpoint },
  environment: process.env,
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
});
await store.put('k', [content.subarray(0, 1_000_000), content.subarray(1_000_000)], { ifAbsent: true });
process.stdout.write((await store.get('k'))?.equals(content) === true ? 'the same' : 'not the same');

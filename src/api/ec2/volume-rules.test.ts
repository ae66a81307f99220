import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsRefusal } from '#api/aws-error.ts';
import { DomainError } from '#domain/errors.ts';
import { planVolume, VOLUME_TYPES } from '#domain/volume-type.ts';
import { SeededRandom } from '#base/random.ts';
import { mapFailure } from './errors.ts';
import { parseVolumeShape, type VolumeShapeRequest } from './volume-rules.ts';

function answerTo(request: VolumeShapeRequest): string {
  try {
    parseVolumeShape(request, null);
    return 'accepted';
  } catch (error) {
    if (error instanceof AwsRefusal) return `${error.error.code}: ${error.error.message}`;
    assert.ok(error instanceof DomainError);
    const mapped = mapFailure(error.failure);
    return `${mapped.code}: ${mapped.message}`;
  }
}

test('the default type is gp2', () => {
  assert.equal(parseVolumeShape({ Size: 8 }, null).type, 'gp2');
});

test('an unknown type is refused, also one that every object has', () => {
  assert.equal(
    answerTo({ Size: 8, VolumeType: 'gp9' }),
    "UnknownVolumeType: Unsupported volume type 'gp9' for volume creation.",
  );
  assert.match(answerTo({ Size: 8, VolumeType: 'constructor' }), /^UnknownVolumeType: /);
});

test('a volume needs a size or a snapshot, and takes its size from the snapshot', () => {
  assert.equal(answerTo({}), 'MissingParameter: The request must contain the parameter size/snapshot');
  assert.equal(parseVolumeShape({}, { id: 'snap-1a2b3c4d', volumeSizeGib: 30 }).sizeGib, 30);
  assert.equal(parseVolumeShape({ Size: 40 }, { id: 'snap-1a2b3c4d', volumeSizeGib: 30 }).sizeGib, 40);
});

test('a volume is not smaller than its snapshot', () => {
  assert.throws(() => parseVolumeShape({ Size: 8 }, { id: 'snap-1a2b3c4d', volumeSizeGib: 30 }), {
    message: "InvalidParameterValue: Volume of size 8GB is smaller than snapshot 'snap-1a2b3c4d', expect size >= 30GB",
  });
});

test('sizes keep to the type', () => {
  assert.equal(answerTo({ Size: 16_384 }), 'accepted');
  assert.equal(
    answerTo({ Size: 16_385 }),
    'InvalidParameterValue: Volume of 16385GiB is too large for volume type gp2; maximum is 16384GiB',
  );
  assert.equal(answerTo({ Size: 65_536, VolumeType: 'gp3' }), 'accepted');
  assert.match(answerTo({ Size: 124, VolumeType: 'st1' }), /st1 volumes must be at least 125 GiB in size/);
  assert.equal(
    answerTo({ Size: 0 }),
    'InvalidParameterValue: Value (0) for parameter size is invalid. Value must be a positive integer.',
  );
});

test('iops and throughput belong to types that have them', () => {
  assert.equal(
    answerTo({ Size: 8, Iops: 100 }),
    'InvalidParameterCombination: The parameter iops is not supported for gp2 volumes.',
  );
  assert.equal(
    answerTo({ Size: 8, VolumeType: 'io2' }),
    'InvalidParameterCombination: The parameter iops must be specified for io2 volumes.',
  );
  assert.equal(
    answerTo({ Size: 8, VolumeType: 'io1', Iops: 100, Throughput: 200 }),
    'InvalidParameterCombination: The throughput parameter is not supported for io1 volumes.',
  );
});

test('iops and throughput keep to their ranges and ratios', () => {
  assert.equal(answerTo({ Size: 1, VolumeType: 'gp3', Iops: 3000 }), 'accepted');
  assert.equal(
    answerTo({ Size: 20, VolumeType: 'gp3', Iops: 15_000 }),
    'InvalidParameterValue: Iops to volume size ratio of 750.000000 is too high; maximum is 500',
  );
  assert.match(answerTo({ Size: 4, VolumeType: 'io1', Iops: 99 }), /Volume iops of 99 is too low; minimum is 100\.$/);
  assert.equal(
    answerTo({ Size: 100, VolumeType: 'gp3', Iops: 3000, Throughput: 1000 }),
    'InvalidParameterValue: Throughput (MiBps) to iops ratio of 0.333333 is too high; maximum is 0.250000 MiBps per iops',
  );
  assert.equal(answerTo({ Size: 100, VolumeType: 'gp3', Throughput: 750 }), 'accepted');
  assert.match(answerTo({ Size: 100, VolumeType: 'gp3', Throughput: 2001 }), /is too high; maximum is 2000\.$/);
});

test('multi-attach is for io1 and io2', () => {
  assert.match(answerTo({ Size: 8, MultiAttachEnabled: true }), /^InvalidParameterCombination: .*multi-attach/);
  assert.equal(answerTo({ Size: 8, MultiAttachEnabled: false }), 'accepted');
  assert.equal(answerTo({ Size: 8, VolumeType: 'io1', Iops: 200, MultiAttachEnabled: true }), 'accepted');
});

test('what EC2 accepts the domain accepts, and the other way round', () => {
  const seed = Number(process.env['VARVE_SEED'] ?? 7);
  const random = new SeededRandom(seed);
  const types = Object.keys(VOLUME_TYPES) as (keyof typeof VOLUME_TYPES)[];
  const sizes = [1, 2, 4, 6, 100, 125, 1024, 1025, 16_384, 65_536, 65_537];
  const rates = [undefined, 99, 100, 125, 300, 2000, 3000, 3001, 20_000, 80_000, 256_001];
  for (let round = 0; round < 20_000; round += 1) {
    const type = types[random.below(types.length)] ?? 'gp2';
    const size = sizes[random.below(sizes.length)] ?? 1;
    const iops = rates[random.below(rates.length)];
    const throughput = rates[random.below(rates.length)];
    const multiAttach = random.below(2) === 0;
    const accepted = answerTo({
      Size: size,
      VolumeType: type,
      Iops: iops,
      Throughput: throughput,
      MultiAttachEnabled: multiAttach,
    });
    const wish = { type, sizeGib: size, iops: iops ?? null, throughputMibps: throughput ?? null, multiAttach };
    const message = `seed ${seed}: ${JSON.stringify(wish)} ${accepted}`;
    if (accepted === 'accepted') assert.doesNotThrow(() => planVolume(wish), message);
    else assert.throws(() => planVolume(wish), DomainError, message);
  }
});

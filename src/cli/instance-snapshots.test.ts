import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  countsOf,
  instanceSnapshotLines,
  instanceSnapshotWords,
  type ListedInstanceSnapshot,
} from './instance-snapshots.ts';

const WEB: ListedInstanceSnapshot = {
  id: 'isnap-00000000000000001',
  name: 'web-1',
  account: '111122223333',
  region: 'us-east-1',
  instance: 'i-00000000000000001',
  instanceName: 'web',
  state: 'available',
  progressPercent: 100,
  createdAtMs: 0,
  consistency: 'filesystem',
  consistencyNote: null,
  heldMs: 41,
  autoDate: null,
  copiedFrom: null,
  parts: [{ snapshot: 'snap-00000000000000001', device: '/dev/xvda', diskName: null }],
};

test('the table of snapshots of instances says how consistent each is, and what made it', () => {
  assert.deepEqual([...instanceSnapshotLines(false, [])], []);
  const crashed = { ...WEB, consistency: 'crash', heldMs: 0, autoDate: '2026-11-21', name: 'web-auto' } as const;
  const copied = { ...WEB, state: 'pending', progressPercent: 5, copiedFrom: { name: 'web-1', region: 'us-west-2' } };
  const [space, head, ...rows] = [...instanceSnapshotLines(true, [WEB, crashed, copied])];
  assert.equal(space, '');
  assert.match(
    String(head),
    /INSTANCE SNAPSHOT +NAME +INSTANCE +ACCOUNT +REGION +DISKS +CONSISTENCY +HELD +MADE +STATE/,
  );
  assert.match(String(rows[0]), /web-1 +web +111122223333 +us-east-1 +1 +filesystem +41 ms +- +available/);
  assert.match(String(rows[1]), /web-auto +web .* crash +0 ms +automatic, 2026-11-21 +available/);
  assert.match(String(rows[2]), /copy of web-1, us-west-2 +pending 5%/);
});

test('their counts are told in one line', () => {
  const crashed = { ...WEB, consistency: 'crash', autoDate: '2026-11-21' } as const;
  assert.equal(
    instanceSnapshotWords(countsOf([WEB, crashed])),
    '2 of instances: 1 filesystem-consistent, 1 as after a power cut; 1 automatic',
  );
  assert.equal(
    instanceSnapshotWords(countsOf([WEB])),
    '1 of instances: 1 filesystem-consistent, 0 as after a power cut',
  );
});

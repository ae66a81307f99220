import { TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { InlinePackChecker } from './verify-pool.ts';
import type { VerifyReport } from './verify-report.ts';
import type { NamedRoot } from './verify-trees.ts';
import { verify, type VerifyOptions } from './verify.ts';

export async function verifyTest(
  objects: ObjectStore,
  options: {
    readonly snapshot?: SnapshotId | undefined;
    readonly origins?: () => Promise<readonly NamedRoot[]>;
    readonly masterKey?: Buffer;
    readonly onProgress?: VerifyOptions['onProgress'];
    readonly indexId?: number;
    readonly expected?: NonNullable<VerifyOptions['expected']>;
  } = {},
): Promise<VerifyReport> {
  const masterKey = options.masterKey ?? TEST_MASTER_KEY;
  await using checker = new InlinePackChecker(masterKey);
  return await verify({
    objects,
    masterKey,
    checker,
    snapshot: options.snapshot ?? null,
    origins: options.origins ?? (async () => []),
    indexId: options.indexId ?? null,
    ...(options.expected === undefined ? {} : { expected: options.expected }),
    onProgress: options.onProgress ?? (() => {}),
    signal: new AbortController().signal,
  });
}

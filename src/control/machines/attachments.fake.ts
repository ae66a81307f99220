import assert from 'node:assert/strict';
import type { World } from '#control/world.fake.ts';
import { INSTANCES } from './records.ts';

/** What each machine says of its volumes is what each volume says of its machine; `where` is said with what differs. */
export async function assertAttachments(world: World, where: string): Promise<void> {
  const page = { after: 0, countMax: 1000 };
  const { instances, volumes } = await world.ports.meta.read(async (tx) => ({
    instances: (await tx.documents.all(INSTANCES, page)).map(({ record }) => record.record),
    volumes: (await tx.volumes.inState(['creating', 'available', 'error', 'deleting'], page)).map(
      ({ record }) => record,
    ),
  }));
  const byMachines = instances.flatMap(({ id, attachments }) =>
    attachments.map(({ volume, ...rest }) => ({ volume, instance: id, ...rest })),
  );
  const byVolumes = volumes.flatMap(({ id, attachment }) =>
    attachment === null ? [] : [{ volume: id, ...attachment }],
  );
  const sorted = (list: readonly { readonly volume: string }[]): readonly object[] =>
    list.toSorted((a, b) => (a.volume < b.volume ? -1 : 1));
  assert.deepEqual(sorted(byMachines), sorted(byVolumes), where);
  for (const { id, attachments } of instances) {
    const letters = attachments.map(({ device }) => device.slice(-1));
    assert.equal(new Set(letters).size, letters.length, `${where}: two disks in one place of ${id}`);
  }
}

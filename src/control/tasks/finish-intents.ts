import type { ControlPorts } from '#control/ports.ts';
import { giveUpSnapshot, giveUpVolume } from '#control/deletion.ts';
import { INSTANCE_SNAPSHOTS } from '#control/machines/instance-snapshot-records.ts';
import { giveUpInstanceSnapshot } from '#control/machines/instance-snapshots.ts';
import { finishStaged } from '#control/staged-volumes.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task } from './task.ts';

/**
 * Undoes what a request began and did not end, because the server was killed or failed in the middle: volumes `creating`
 * and snapshots `cutting` that nobody works on. Their clients got no answer. Volumes that wait for what they are made of
 * are brought on (staged-volumes.ts).
 */
export function finishIntents(ports: ControlPorts): Task {
  return {
    name: 'finish-intents',
    periodMs: 60_000,
    startDelayMs: 0,
    wakeDelayMs: 0,
    async activate(signal) {
      const tally = new Tally();
      // Snapshots first: a direct one takes its draft volume with it.
      const snapshots = eachRow((page) => ports.meta.read((tx) => tx.snapshots.inState(['cutting'], page)), signal);
      for await (const { id } of snapshots) {
        if (ports.intents.has(id)) continue;
        ports.log.info('intent.undo', { snapshot: id });
        await giveUpSnapshot(ports, id);
        tally.done();
      }
      const volumes = eachRow((page) => ports.meta.read((tx) => tx.volumes.inState(['creating'], page)), signal);
      for await (const volume of volumes) {
        const { id, draft, staging, attachment } = volume;
        // A draft is its snapshot's, and went with it just now if its request is over.
        if (draft || ports.intents.has(id)) continue;
        if (staging !== null) {
          await finishStaged(ports, volume, tally);
          continue;
        }
        // Of a machine that is being made: its reconciler makes it.
        if (attachment !== null) continue;
        ports.log.info('intent.undo', { volume: id });
        await giveUpVolume(ports, id);
        tally.done();
      }
      const machines = eachRow((page) => ports.meta.read((tx) => tx.documents.all(INSTANCE_SNAPSHOTS, page)), signal);
      for await (const { record } of machines) {
        if (record.state !== 'cutting' || ports.intents.has(record.id)) continue;
        ports.log.info('intent.undo', { snapshot: record.id });
        await giveUpInstanceSnapshot(ports, record);
        tally.done();
      }
      return tally.report();
    },
  };
}

import { isUsable, isRotationDue, type KmsKey } from '#domain/kms/key.ts';
import type { Tx } from '#meta/meta-store.ts';
import { withoutMaterial } from '#control/kms/import.ts';
import { aliasKind, grantKind, keyKind, materialKind, ofOwner } from '#control/kms/records.ts';
import { rotateIfDue } from '#control/kms/rotation.ts';
import type { ControlPorts } from '#control/ports.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task, type TaskReport } from './task.ts';

/**
 * Does what is due for KMS keys: destroys those whose waiting time is over, erases imported material that has expired,
 * rotates. What is erased is gone from the file and the log of the metadata when the activation ends; a server that was
 * killed in between does it again at its start.
 */
export class TendKeys implements Task {
  readonly name = 'tend-keys';
  readonly periodMs = 60_000;
  readonly startDelayMs = 0;
  readonly wakeDelayMs = 0;
  readonly #ports: ControlPorts;
  #mustPurge = true;

  constructor(ports: ControlPorts) {
    this.#ports = ports;
  }

  async activate(signal: AbortSignal): Promise<TaskReport> {
    const { meta, time, log } = this.#ports;
    const tally = new Tally();
    for await (const { record } of eachRow((page) => meta.read((tx) => tx.documents.all(keyKind, page)), signal)) {
      if (!isSomethingDue(record, time.earliestMs(), time.estimateMs())) continue;
      let done: 'destroyed' | 'expired' | 'rotated' | null;
      try {
        done = await meta.transact((tx) => this.#tend(tx, record));
      } catch (error) {
        signal.throwIfAborted();
        log.warn('kms-key.tend', { key: record.id, account: record.account, region: record.region, error });
        tally.failed(); // The other keys, and what is to be purged, do not wait for this one.
        continue;
      }
      if (done === null) continue;
      if (done !== 'rotated') this.#mustPurge = true;
      log.info(`kms-key.${done}`, { key: record.id, account: record.account, region: record.region });
      tally.done();
    }
    if (this.#mustPurge) {
      await meta.purge();
      this.#mustPurge = false;
    }
    return tally.report();
  }

  async #tend(tx: Tx, seen: KmsKey): Promise<'destroyed' | 'expired' | 'rotated' | null> {
    // Read again: it may have changed since it was listed.
    const key = await tx.documents.find(keyKind, seen, seen.id);
    const { time } = this.#ports;
    const surelyMs = time.earliestMs();
    if (key === null || !isSomethingDue(key, surelyMs, time.estimateMs())) return null;
    if (isDeletionDue(key, surelyMs)) {
      await destroyKey(tx, key);
      return 'destroyed';
    }
    const expired = key.materials.filter((material) => material.isHere && !isUsable(material, surelyMs));
    if (expired.length > 0) {
      let without = key;
      for (const { id } of expired) without = await withoutMaterial(tx, without, id);
      await tx.documents.update(keyKind, key, without);
      return 'expired';
    }
    await tx.documents.update(keyKind, key, await rotateIfDue(this.#ports, tx, key));
    return 'rotated';
  }
}

/** `surelyMs`: what is destroyed was due by then. Nothing is lost by a rotation, which follows the estimate: the next is a whole period later. */
function isSomethingDue(key: KmsKey, surelyMs: number, nowMs: number): boolean {
  const isExpired = key.materials.some((material) => material.isHere && !isUsable(material, surelyMs));
  return isDeletionDue(key, surelyMs) || isExpired || isRotationDue(key, nowMs);
}

function isDeletionDue(key: KmsKey, nowMs: number): boolean {
  return key.deletion !== null && key.deletion.atMs <= nowMs;
}

/** Everything of it: without the material, nobody opens what it sealed. */
async function destroyKey(tx: Tx, key: KmsKey): Promise<void> {
  const materials = await ofOwner(tx, materialKind, key, key.id);
  for (const material of materials) await tx.documents.remove(materialKind, key, materialKind.idOf(material));
  for (const { name } of await ofOwner(tx, aliasKind, key, key.id)) await tx.documents.remove(aliasKind, key, name);
  for (const { id } of await ofOwner(tx, grantKind, key, key.id)) await tx.documents.remove(grantKind, key, id);
  await tx.documents.remove(keyKind, key, key.id);
}

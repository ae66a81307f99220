import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';
import type { InstanceId, VolumeId } from '#domain/ids.ts';

import { within } from './deadline.ts';
import { placeFor } from './disk-places.ts';
import { HypervisorError, type MachineDisk } from './hypervisor.ts';
import type { RecordedDisk } from './machine-record.ts';
import { deviceName, diskDevice, diskNode, nodeName } from './qemu-arguments.ts';
import { type Qmp, QmpError } from './qmp.ts';

export interface MachineDisksOptions {
  readonly id: InstanceId;
  readonly disks: readonly RecordedDisk[];
  readonly monitor: () => Promise<Qmp>;
  /** Keeps the record. */
  readonly onChange: (disks: readonly RecordedDisk[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The disks of a machine that runs.
 *
 *   attach: QEMU connects to the volume, then the guest gets a device.
 *   detach: the guest is asked to let go; when it has (DEVICE_DELETED), QEMU closes the volume.
 *   detach by force: QEMU's connection to the volume is cut, after which the volume is nobody's. What remains is a dead device
 *     in its slot (`isLingering`) until the guest lets go of it or boots anew.
 *
 * A disk is recorded before QEMU hears of it, and stays so until it is known that QEMU does not have it: a volume of which
 * nobody knows is not given to another machine.
 */
export class MachineDisks {
  readonly #options: MachineDisksOptions;
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();
  /** Devices that are gone and whose volumes QEMU could not close. */
  readonly #unclosed = new Set<string>();
  #disks: readonly RecordedDisk[];

  constructor(options: MachineDisksOptions) {
    this.#options = options;
    this.#disks = options.disks;
  }

  get volumes(): readonly VolumeId[] {
    return this.#disks.filter(({ isLingering }) => !isLingering).map(({ volume }) => volume);
  }

  async attach(disk: MachineDisk): Promise<void> {
    const { id, monitor } = this.#options;
    // First: a connection that is made anew sees what became of the disk when this was asked before (`compare`).
    const qmp = await monitor();
    const found = this.#disks.find(({ volume }) => volume === disk.volume);
    if (found?.isLingering === false) return;
    if (found !== undefined) {
      throw new HypervisorError('guest-refuses', `the guest of ${id} still has what remains of ${disk.volume}`);
    }
    const place = placeFor(disk.device, new Set(this.#disks.map((other) => other.place)));
    const plugged = { ...disk, place, isLingering: false };
    await this.#keep([...this.#disks, plugged]);
    try {
      await qmp.execute('blockdev-add', diskNode(disk));
      try {
        await qmp.execute('device_add', diskDevice(plugged));
      } catch (error) {
        if (isRefusal(error)) await qmp.execute('blockdev-del', { 'node-name': nodeName(disk.volume) });
        throw error;
      }
    } catch (error) {
      if (!isRefusal(error)) {
        qmp[Symbol.dispose](); // It may be done yet: the next connection sees.
        throw error;
      }
      await this.#keep(this.#disks.filter(({ volume }) => volume !== disk.volume));
      throw new HypervisorError('resources', `${disk.volume} cannot be attached: ${describeError(error)}`, {
        cause: error,
      });
    }
  }

  async detach(volume: VolumeId, options: { readonly graceMs: number; readonly force: boolean }): Promise<void> {
    const { id, monitor, clock } = this.#options;
    const found = this.#disks.find((disk) => disk.volume === volume);
    if (found === undefined || found.isLingering) return;
    const device = deviceName(volume);
    const gone = this.#waiting.get(device) ?? Promise.withResolvers<void>();
    this.#waiting.set(device, gone);
    const refuses = (): Error =>
      new HypervisorError('guest-refuses', `the guest of ${id} does not let go of ${volume}`);
    const qmp = await monitor();
    try {
      if (!(await askToLetGo(qmp, device))) await this.deviceDeleted(device);
      await within(clock, options.graceMs, gone.promise, refuses);
    } catch (error) {
      if (!options.force || !(error instanceof HypervisorError)) throw error;
      await qmp.execute('yank', { instances: [{ type: 'block-node', 'node-name': nodeName(volume) }] });
      await this.#keep(this.#disks.map((disk) => (disk.volume === volume ? { ...disk, isLingering: true } : disk)));
    } finally {
      this.#waiting.delete(device);
    }
  }

  /** DEVICE_DELETED: the guest let go, when it was asked to or long after. */
  async deviceDeleted(device: unknown): Promise<void> {
    const found = this.#disks.find(({ volume }) => deviceName(volume) === device);
    if (found === undefined) {
      if (typeof device === 'string') this.#unclosed.delete(device);
      return;
    }
    const { log, monitor } = this.#options;
    try {
      await closeNode(await monitor(), found.volume);
      this.#unclosed.delete(deviceName(found.volume));
      await this.#keep(this.#disks.filter((disk) => disk !== found));
      this.#waiting.get(deviceName(found.volume))?.resolve();
    } catch (error) {
      if (!this.#unclosed.has(deviceName(found.volume))) {
        log.error('machine-disk-not-closed', { volume: found.volume, error });
      }
      this.#unclosed.add(deviceName(found.volume));
    }
  }

  /**
   * Closes what could not be closed before, and asks the guest again for what was taken away by force: QEMU forgets that it
   * asked when the guest boots anew in between.
   */
  async tend(): Promise<void> {
    for (const device of this.#unclosed) await this.deviceDeleted(device);
    const lingering = this.#disks.filter(({ isLingering }) => isLingering).map(({ volume }) => deviceName(volume));
    if (lingering.length === 0) return;
    const qmp = await this.#options.monitor();
    for (const device of lingering) {
      if (!(await askToLetGo(qmp, device))) await this.deviceDeleted(device);
    }
  }

  /** After a time in which events were missed: what has no device any more was let go of. */
  async compare(devices: ReadonlySet<string>): Promise<void> {
    for (const { volume } of this.#disks) {
      if (!devices.has(deviceName(volume))) await this.deviceDeleted(deviceName(volume));
    }
  }

  async #keep(disks: readonly RecordedDisk[]): Promise<void> {
    this.#disks = disks;
    await this.#options.onChange(disks);
  }
}

function isRefusal(error: unknown): error is QmpError {
  return error instanceof QmpError && error.problem === 'refused';
}

/** A guest that was asked before is not asked again: QEMU says so by refusing. False: it has no such device. */
async function askToLetGo(qmp: Qmp, device: string): Promise<boolean> {
  try {
    await qmp.execute('device_del', { id: device });
    return true;
  } catch (error) {
    if (isRefusal(error) && /already in the process of unplug/.test(error.message)) return true;
    if (isRefusal(error) && /not found/.test(error.message)) return false;
    throw error;
  }
}

/** QEMU may have closed the volume before, or never have opened it. */
async function closeNode(qmp: Qmp, volume: VolumeId): Promise<void> {
  try {
    await qmp.execute('blockdev-del', { 'node-name': nodeName(volume) });
  } catch (error) {
    if (!isRefusal(error) || !/Failed to find node/.test(error.message)) throw error;
  }
}

import { refuse } from '#domain/errors.ts';
import type { InstanceId, VolumeId } from '#domain/ids.ts';
import { DEFAULT_METADATA_OPTIONS, type Instance, type MetadataOptions } from '#domain/instance.ts';
import type { Scope } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import { setDeleteOnTermination } from './attachments.ts';
import { INSTANCES, instanceIn } from './records.ts';

export interface ChangeInstance {
  readonly options?: Partial<
    Pick<Instance['options'], 'disableApiTermination' | 'disableApiStop' | 'ebsOptimized' | 'shutdownBehavior'>
  >;
  /** What is not said stays. */
  readonly metadataOptions?: Partial<MetadataOptions>;
  /** How large it is from its next start on; of one that is stopped. */
  readonly size?: Pick<Instance, 'bundle' | 'cpuCount' | 'memoryMib'>;
  /** Of one that is stopped: bytes in base64; null: none. A guest runs user data once in its life. */
  readonly userData?: string | null;
  /** Volumes that go with the machine, or do not. */
  readonly deleteOnTermination?: ReadonlyMap<VolumeId, boolean>;
}

/** Refuses: not-found, wrong-state (it is not stopped, where it must be; it is gone). */
export async function changeInstance(
  ports: ControlPorts,
  scope: Scope,
  id: InstanceId,
  { options = {}, metadataOptions, size, userData, deleteOnTermination = new Map() }: ChangeInstance,
): Promise<Instance> {
  return await ports.meta.transact(async (tx) => {
    const instance = await instanceIn(tx, scope, id);
    const { state } = instance;
    const mustRest = size !== undefined || userData !== undefined;
    if (state === 'terminated' || state === 'shutting-down' || (mustRest && state !== 'stopped')) {
      refuse({ kind: 'wrong-state', resource: 'instance', id, state });
    }
    let changed: Instance = {
      ...instance,
      ...size,
      ...(userData === undefined ? {} : { userData }),
      options: { ...instance.options, ...options },
      ...(metadataOptions === undefined
        ? {}
        : { metadataOptions: { ...(instance.metadataOptions ?? DEFAULT_METADATA_OPTIONS), ...metadataOptions } }),
    };
    await tx.documents.update(INSTANCES, scope, changed);
    for (const [volume, goes] of deleteOnTermination) changed = await setDeleteOnTermination(tx, changed, volume, goes);
    return changed;
  });
}

import { assert } from '#base/assert.ts';
import { findBundle } from '#domain/bundle.ts';
import type { Encryption } from '#domain/encryption.ts';
import { refuse } from '#domain/errors.ts';
import {
  newInstanceId,
  newReservationId,
  newVolumeId,
  parseInstanceId,
  type RegionName,
  type ReservationId,
  type SnapshotId,
} from '#domain/ids.ts';
import { findInstanceType } from '#domain/instance-type.ts';
import {
  type AddressType,
  DEFAULT_METADATA_OPTIONS,
  type Instance,
  type InstanceOptions,
  type MetadataOptions,
  NO_INSTANCE_OPTIONS,
  type OpenPorts,
  SYSTEM_DEVICE,
} from '#domain/instance.ts';
import { checkName } from '#domain/name.ts';
import { EVERYBODY } from '#domain/open-ports.ts';
import type { Operation } from '#domain/operation.ts';
import { findZone } from '#domain/region.ts';
import { TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import { LIGHTSAIL_VOLUME_TYPE } from '#domain/volume-type.ts';
import type { Face, Scope } from '#domain/volume.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { findTokenResult, recordToken, type TokenUse } from '#control/idempotency.ts';
import type { Caller } from '#control/kms/access.ts';
import type { EncryptionAsked } from '#control/kms/volume-encryption.ts';
import { operationsOf, startOperations } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import { type CreateVolume, encryptionFor, insertVolume } from '#control/volumes.ts';
import { type AddOnRequest, setAddOn } from './add-ons.ts';
import { addAttachment } from './attachments.ts';
import { accessKeyOf, keyPairNamed } from './key-pairs.ts';
import { refuseWithoutMemory } from './memory.ts';
import { INSTANCES } from './records.ts';
import { freeSshPort } from './ssh-ports.ts';

/*
 * Machines are made in one transaction: their records as `pending`, their volumes as `creating`, names, token, operations.
 * From then on they are the reconciler's (bring.ts), which makes the volumes, starts the machines and ends the operations;
 * a crash at any point leaves what it takes up again.
 */

/** How many one request may make. */
export const INSTANCE_COUNT_MAX = 20;
export const USER_DATA_BYTES_MAX = 16 * 1024;

/** What a machine's system volume is made of: a blueprint's snapshot, or a machine's. */
export interface MachineSource {
  readonly snapshot: SnapshotId;
  /** Where the snapshot is. */
  readonly region: RegionName;
  /** What clients read as the blueprint of the machine. */
  readonly blueprint: string;
  readonly blueprintName: string;
  readonly userName: string;
  /** The least power of a bundle. */
  readonly minimumPower: number;
}

/** A disk that is made with a machine. */
export interface NewDisk {
  readonly name: string | null;
  /** Null: an empty one. */
  readonly origin: SnapshotId | null;
  readonly sizeGib: number;
  readonly device: string;
  readonly deleteOnTermination: boolean;
  /** Missing: as the face's volumes are by themselves. */
  readonly shape?: DiskShape;
}

/** What EC2's requests say of a volume beside. */
export type DiskShape = Pick<CreateVolume, 'type' | 'iops' | 'throughputMibps'> & {
  readonly encryption: EncryptionAsked;
};

/** What a machine's system volume is to be, where that does not follow from its bundle. */
export interface SystemVolume {
  /** What clients read as its device; missing: as it is. */
  readonly shownAs?: string;
  readonly sizeGib: number;
  readonly deleteOnTermination: boolean;
  readonly shape: DiskShape;
}

export interface NewMachine {
  /** Lightsail's name; null in EC2. */
  readonly name: string | null;
  readonly disks: readonly NewDisk[];
}

export interface CreateInstances {
  readonly face: Face;
  readonly machines: readonly NewMachine[];
  readonly zone: string;
  /** A bundle of Lightsail's, or a type of EC2's instances. */
  readonly bundle: string;
  readonly source: MachineSource;
  /** Missing: as large as the bundle says, and gone with the machine. */
  readonly systemVolume?: SystemVolume;
  /** Of every volume that is made; missing: the machine's, on its system volume. */
  readonly volumeTags?: readonly Tag[];
  readonly options?: Partial<InstanceOptions>;
  /** Missing: nobody said anything. */
  readonly metadataOptions?: Partial<MetadataOptions>;
  /** Bytes in base64; null: none. */
  readonly userData: string | null;
  /** Null: the default one, in Lightsail; none in EC2. */
  readonly keyPair: string | null;
  readonly addressType: AddressType;
  /** Enabled with the machines; missing: none. */
  readonly addOns?: readonly AddOnRequest[];
  readonly tags: readonly Tag[];
  readonly caller?: Caller;
  readonly token: string | null;
  /** Lightsail's operation type to record for each; null: none. */
  readonly operation: string | null;
}

export interface InstancesCreated {
  readonly instances: readonly Instance[];
  /** One for each, in their order: Started. They succeed when the machine runs. */
  readonly operations: readonly Operation[];
}

/** What Lightsail opens of a new machine. In EC2 that is a security group's business. */
const OPEN_AT_FIRST: Readonly<Record<Face, readonly OpenPorts[]>> = {
  lightsail: [
    { protocol: 'tcp', fromPort: 22, toPort: 22, ...EVERYBODY },
    { protocol: 'tcp', fromPort: 80, toPort: 80, ...EVERYBODY },
  ],
  ec2: [{ protocol: 'tcp', fromPort: 22, toPort: 22, ...EVERYBODY }],
};

/**
 * Refuses: no-machines, no-memory, not-found (snapshot, key pair, or what the token made is gone), wrong-state (snapshot), zone-not-found,
 * invalid-value (names, bundle, user data, tags), name-taken, limit, token-mismatch.
 */
export async function createInstances(
  ports: ControlPorts,
  scope: Scope,
  request: CreateInstances,
): Promise<InstancesCreated> {
  // First: what they were made of may be gone since.
  const again = await ports.meta.read((tx) => findAgain(tx, scope, request));
  if (again !== null) return again;
  await refuseWithoutMachines(ports);
  const size = checkRequest(request);
  // Outside of the transaction: a default key pair may have to be made, and a KMS key asked.
  const accessKey = request.face === 'lightsail' ? await accessKeyOf(ports, scope) : null;
  const encryptions: (Encryption | null)[] = [];
  for (const { disks } of request.machines) {
    for (const disk of [null, ...disks]) {
      encryptions.push(await encryptionFor(ports, scope, volumeRequest(request, size, disk)));
    }
  }
  const made = await ports.meta.transact(async (tx) => {
    const first = await findAgain(tx, scope, request);
    if (first !== null) return first;
    await refuseWithoutMemory(ports, tx, size.memoryMib * request.machines.length);
    return await record(ports, tx, scope, { request, size, accessKey, encryptions });
  });
  ports.wake('reconcile-instances');
  ports.wake('upload-snapshots'); // Of what another account shares a copy is stored first.
  return made;
}

/** Refuses: no-machines. */
export async function refuseWithoutMachines({ hypervisor }: Pick<ControlPorts, 'hypervisor'>): Promise<void> {
  const { accelerator, note, missing } = await hypervisor.capabilities();
  if (accelerator !== null) return;
  const words = missing.length === 0 ? 'QEMU cannot run here' : `install ${missing.join(' ')}`;
  refuse({ kind: 'no-machines', reason: note ?? words });
}

/** How large a machine is. */
interface MachineSize {
  readonly id: string;
  readonly cpuCount: number;
  readonly memoryMib: number;
  /** Of the system volume; null: as large as what it is made of. */
  readonly diskGib: number | null;
  /** Null: whatever its source asks for. */
  readonly power: number | null;
}

function checkRequest({ machines, bundle: id, source, userData, face }: CreateInstances): MachineSize {
  if (machines.length === 0) refuse({ kind: 'missing', field: 'instanceNames' });
  if (machines.length > INSTANCE_COUNT_MAX) refuse({ kind: 'limit', limit: 'resources', max: INSTANCE_COUNT_MAX });
  for (const { name } of machines) if (name !== null) checkName(name, 'instanceNames');
  const size = face === 'ec2' ? sizeOfType(id) : findBundle(id);
  if (size === null) {
    const reason =
      face === 'ec2'
        ? `there is no type ${id}; DescribeInstanceTypes lists them`
        : `there is no bundle ${id}; GetBundles lists them`;
    refuse({ kind: 'invalid-value', field: face === 'ec2' ? 'InstanceType' : 'bundleId', reason });
  }
  if (size.power !== null && size.power < source.minimumPower) {
    const reason = `${source.blueprint} needs a bundle with a power of ${source.minimumPower} at least, and ${id} has ${size.power}`;
    refuse({ kind: 'invalid-value', field: 'bundleId', reason });
  }
  if (userData !== null && Buffer.from(userData, 'base64').length > USER_DATA_BYTES_MAX) {
    refuse({ kind: 'invalid-value', field: 'userData', reason: `it has ${USER_DATA_BYTES_MAX} bytes at most` });
  }
  return size;
}

function sizeOfType(id: string): MachineSize | null {
  const type = findInstanceType(id);
  return type && { ...type, diskGib: null, power: null };
}

/** What a volume of the machines is asked to be; `disk` null: the system volume. */
function volumeRequest(
  request: CreateInstances,
  size: MachineSize,
  disk: NewDisk | null,
): Omit<CreateVolume, 'token' | 'operation'> {
  const { face, systemVolume } = request;
  const shape = disk === null ? systemVolume?.shape : disk.shape;
  const tags = request.volumeTags ?? (disk === null ? request.tags : []);
  return {
    face,
    name: disk?.name ?? null,
    zone: request.zone,
    sizeGib: disk?.sizeGib ?? systemVolume?.sizeGib ?? size.diskGib,
    type: shape?.type ?? (face === 'lightsail' ? LIGHTSAIL_VOLUME_TYPE : 'gp3'),
    iops: shape?.iops ?? null,
    throughputMibps: shape?.throughputMibps ?? null,
    multiAttach: false,
    origin: disk === null ? request.source.snapshot : disk.origin,
    // What disks are made of is in the region of the request; a blueprint is wherever it was brought to.
    ...(disk === null ? { originRegion: request.source.region } : {}),
    ...(shape === undefined ? {} : { encryption: shape.encryption }),
    tags,
    ...(request.caller === undefined ? {} : { caller: request.caller }),
  };
}

async function record(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  {
    request,
    size,
    accessKey,
    encryptions,
  }: {
    readonly request: CreateInstances;
    readonly size: MachineSize;
    readonly accessKey: string | null;
    /** Of every volume of every machine, in their order. */
    readonly encryptions: readonly (Encryption | null)[];
  },
): Promise<InstancesCreated> {
  const { source, face, operation } = request;
  if (findZone(scope.region, request.zone) === null) refuse({ kind: 'zone-not-found', zone: request.zone });
  const tags = tagsOf(TAG_RULES[face], request.tags, ports.limitsOf(scope.account).tagCountMax);
  const keyPair = request.keyPair === null ? null : await keyPairNamed(tx, scope, request.keyPair);
  await refuseSmaller(tx, source, size);
  const reservation = newReservationId(ports.random);
  const nowMs = ports.clock.nowMs();
  const instances: Instance[] = [];
  const operations: Operation[] = [];
  const planned = encryptions.values();
  const shownAs = request.systemVolume?.shownAs === undefined ? {} : { shownAs: request.systemVolume.shownAs };
  for (const [launchIndex, machine] of request.machines.entries()) {
    const id = newInstanceId(ports.random);
    if (machine.name !== null && !(await tx.names.claim(scope, machine.name, id))) {
      refuse({ kind: 'name-taken', name: machine.name });
    }
    let instance: Instance = {
      ...scope,
      id,
      reservation,
      face,
      name: machine.name,
      zone: request.zone,
      blueprint: source.blueprint,
      blueprintName: source.blueprintName,
      origin: source.snapshot,
      bundle: size.id,
      cpuCount: size.cpuCount,
      memoryMib: size.memoryMib,
      state: 'pending',
      wanted: 'running',
      stopsAtOnce: false,
      rebootWanted: false,
      stateReason: null,
      createdAtMs: nowMs,
      launchedAtMs: null,
      launchedBoot: null,
      attachments: [],
      userData: request.userData,
      keyPair: keyPair?.name ?? null,
      // Lightsail's access details and browser reach every machine, whatever its key pair: by the region's own key.
      publicKeys: [...(keyPair === null ? [] : [keyPair.publicKey]), ...(accessKey === null ? [] : [accessKey])],
      userName: source.userName,
      sshPort: await freeSshPort(tx),
      options: { ...NO_INSTANCE_OPTIONS, ...request.options, launchIndex },
      endedAtMs: null,
      address: null,
      staticIp: null,
      metadataOptions:
        request.metadataOptions === undefined ? null : { ...DEFAULT_METADATA_OPTIONS, ...request.metadataOptions },
      addressType: request.addressType,
      openPorts: OPEN_AT_FIRST[face],
      tags,
    };
    await tx.documents.insert(INSTANCES, scope, instance);
    for (const disk of [null, ...machine.disks]) {
      const { value: encryption } = planned.next();
      assert(encryption !== undefined, 'the encryption of every volume was decided before');
      const wish = volumeRequest(request, size, disk);
      const volume = await insertVolume(ports, tx, scope, newVolumeId(ports.random), wish, encryption);
      instance = await addAttachment(tx, instance, volume, {
        device: disk?.device ?? SYSTEM_DEVICE,
        ...(disk === null ? shownAs : {}),
        state: 'attaching',
        attachedAtMs: nowMs,
        deleteOnTermination: (disk ?? request.systemVolume)?.deleteOnTermination ?? true,
      });
    }
    for (const addOn of request.addOns ?? []) {
      await setAddOn(ports, tx, { type: 'Instance', name: machine.name ?? id, record: instance }, addOn);
    }
    instances.push(instance);
    if (operation === null) continue;
    const draft = {
      type: operation,
      resourceName: machine.name ?? id,
      resourceType: 'Instance',
      zone: request.zone,
    } as const;
    operations.push(...(await startOperations(ports, tx, scope, id, [{ ...draft, details: null }])));
  }
  const [first] = instances;
  assert(first !== undefined, 'a request makes one machine at least');
  await recordToken(tx, scope, useOf(request), first.id, ports.time.latestMs());
  return { instances, operations };
}

/** Refuses: invalid-value. In words of the bundle, which is what the client chose; of the rest the volume's own rules speak. */
async function refuseSmaller(tx: ReadTx, { snapshot: id }: MachineSource, size: MachineSize): Promise<void> {
  if (size.diskGib === null) return;
  const snapshot = await tx.snapshots.find(id);
  if (snapshot === null || snapshot.volumeSizeGib <= size.diskGib) return;
  const reason = `the disk of ${size.id} has ${size.diskGib} GB, and the snapshot has ${snapshot.volumeSizeGib}; choose a larger bundle`;
  refuse({ kind: 'invalid-value', field: 'bundleId', reason });
}

function useOf({ token, operation: _operation, caller: _caller, ...request }: CreateInstances): TokenUse {
  return { purpose: 'create-instances', token, request };
}

/** What the token made before; null: nothing. Refuses: token-mismatch, not-found. */
async function findAgain(tx: ReadTx, scope: Scope, request: CreateInstances): Promise<InstancesCreated | null> {
  const again = await findTokenResult(tx, scope, useOf(request));
  if (again === null) return null;
  const id = parseInstanceId(again);
  assert(id !== null, 'the token of machines names one of them');
  const first = await tx.documents.find(INSTANCES, scope, id);
  if (first === null) refuse({ kind: 'not-found', resource: 'instance', id: request.machines[0]?.name ?? id });
  const instances = await ofReservation(tx, scope, first.reservation);
  const operations: Operation[] = [];
  for (const one of instances) operations.push(...(await operationsOf(tx, one.id, request.operation)));
  return { instances, operations };
}

/** Machines that one request made, and that are still there. */
async function ofReservation(tx: ReadTx, scope: Scope, reservation: ReservationId): Promise<readonly Instance[]> {
  const rows = await tx.documents.list(INSTANCES, scope, reservation, { after: 0, countMax: INSTANCE_COUNT_MAX });
  return rows.map(({ record: found }) => found);
}

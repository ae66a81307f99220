import { refuse } from '#domain/errors.ts';
import { type ImageId, newImageId } from '#domain/ids.ts';
import {
  type Image,
  type ImageDevice,
  imageIdOf,
  IMAGE_NAME_RULE,
  type ImageState,
  isImageName,
} from '#domain/image.ts';
import { SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Blueprint } from '#domain/blueprint.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import type { Scope } from '#domain/volume.ts';
import { listBlueprints } from '#control/blueprints.ts';
import { refuseUnusable, snapshotIn } from '#control/lookup.ts';
import { slicePage } from '#control/pages.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { IMAGES } from './image-records.ts';

/*
 * An image is a registered snapshot. What accounts register is recorded; a blueprint is an image of every account and region
 * beside that, under an id that follows from it.
 */

export interface NewImage {
  readonly name: string;
  readonly description: string;
  /** The system volume first. */
  readonly devices: readonly ImageDevice[];
  readonly sourceInstance: Image['sourceInstance'];
  readonly userName: string;
  readonly enaSupport: boolean;
  readonly cutWanted?: NonNullable<Image['cutWanted']>;
  readonly tags: readonly Tag[];
}

/** An image, and what its snapshots say of it now. */
export interface ImageSeen {
  readonly image: Image;
  readonly state: ImageState;
  /** Which of its devices are encrypted, in their order: those whose snapshots are. */
  readonly isEncrypted: readonly boolean[];
}

/** Refuses: invalid-value (name, tags), name-taken, not-found (a snapshot; another account's, too), wrong-state (a snapshot), limit (tags). */
export async function registerImage(ports: ControlPorts, scope: Scope, request: NewImage): Promise<Image> {
  return await ports.meta.transact(async (tx) => {
    for (const { snapshot } of request.devices) {
      if (snapshot !== null) refuseUnusable(await snapshotIn(tx, scope, snapshot));
    }
    return await insertImage(ports, tx, scope, request);
  });
}

/** As `registerImage`, in a transaction that records more. */
export async function insertImage(ports: ControlPorts, tx: Tx, scope: Scope, request: NewImage): Promise<Image> {
  const { tags, ...words } = request;
  await checkNewName(tx, scope, request.name);
  for (const { snapshot } of request.devices) if (snapshot !== null) await snapshotIn(tx, scope, snapshot);
  const image: Image = {
    ...words,
    ...scope,
    id: newImageId(ports.random),
    createdAtMs: ports.clock.nowMs(),
    blueprint: null,
    tags: tagsOf(TAG_RULES.ec2, tags, ports.limitsOf(scope.account).tagCountMax),
  };
  await tx.documents.insert(IMAGES, scope, image);
  return image;
}

/** Refuses: invalid-value, name-taken. */
export async function checkNewName(tx: ReadTx, scope: Scope, name: string): Promise<void> {
  if (!isImageName(name)) refuse({ kind: 'invalid-value', field: 'name', reason: `a name has ${IMAGE_NAME_RULE}` });
  if ((await tx.documents.count(IMAGES, scope, name)) > 0) refuse({ kind: 'name-taken', name });
}

/** No machine can be made from it any more; its snapshots stay, and can be deleted. Answers it. Refuses: not-found, not-permitted (a blueprint). */
export async function deregisterImage(ports: ControlPorts, scope: Scope, id: ImageId): Promise<Image> {
  const { image } = await findImage(ports, scope, id);
  if (image.blueprint !== null) {
    refuse({ kind: 'not-permitted', what: `The image ${id} is the blueprint ${image.blueprint} of this server.` });
  }
  await ports.meta.transact((tx) => tx.documents.remove(IMAGES, scope, id));
  return image;
}

/** The account's own, or a blueprint. Refuses: not-found. */
export async function findImage(ports: ControlPorts, scope: Scope, id: ImageId): Promise<ImageSeen> {
  const own = await ports.meta.read(async (tx) => {
    const image = await tx.documents.find(IMAGES, scope, id);
    return image === null ? null : await imageSeen(tx, image);
  });
  if (own !== null) return own;
  const blueprints = await blueprintImages(ports, scope);
  return blueprints.find(({ image }) => image.id === id) ?? refuse({ kind: 'not-found', resource: 'blueprint', id });
}

export interface ListImages {
  /** All of them must exist; null: all. */
  readonly ids: readonly ImageId[] | null;
  readonly match: (seen: ImageSeen) => boolean;
  readonly after: string | null;
  readonly countMax: number;
}

/** Blueprints, then the account's own in the order of their creation. Refuses: not-found, page-token-invalid. */
export async function listImages(
  ports: ControlPorts,
  scope: Scope,
  { ids, ...page }: ListImages,
): Promise<{ readonly images: readonly ImageSeen[]; readonly next: string | null }> {
  const all = [...(await blueprintImages(ports, scope)), ...(await ownImages(ports, scope))];
  const missing = ids?.find((id) => !all.some(({ image }) => image.id === id));
  if (missing !== undefined) refuse({ kind: 'not-found', resource: 'blueprint', id: missing });
  const asked = ids === null ? all : all.filter(({ image }) => ids.includes(image.id));
  const { records, next } = await slicePage(ports, scope, 'images', page, asked);
  return { images: records, next };
}

async function ownImages(ports: ControlPorts, scope: Scope): Promise<readonly ImageSeen[]> {
  return await ports.meta.read(async (tx) => {
    const rows = await tx.documents.list(IMAGES, scope, null, { after: 0, countMax: Number.MAX_SAFE_INTEGER });
    const seen: ImageSeen[] = [];
    for (const { record: image } of rows) seen.push(await imageSeen(tx, image));
    return seen;
  });
}

async function imageSeen(tx: ReadTx, image: Image): Promise<ImageSeen> {
  const snapshots: (Snapshot | null)[] = [];
  for (const { snapshot: id } of image.devices) snapshots.push(id === null ? null : await tx.snapshots.find(id));
  return {
    image,
    state: stateOf(image, snapshots),
    isEncrypted: snapshots.map((snapshot) => snapshot !== null && snapshot.encryption !== null),
  };
}

/** `snapshots`: of its devices; null: an empty one's, or gone. */
function stateOf({ devices, cutWanted, failure }: Image, snapshots: readonly (Snapshot | null)[]): ImageState {
  if (failure !== undefined) return 'failed';
  if (cutWanted !== undefined) return 'pending';
  if (devices.some(({ snapshot: id }, at) => id !== null && (snapshots[at] ?? null) === null)) return 'failed';
  const states = new Set(snapshots.map((snapshot) => snapshot?.state));
  if (states.has('error')) return 'failed';
  return states.has('pending') || states.has('cutting') ? 'pending' : 'available';
}

async function blueprintImages(ports: ControlPorts, scope: Scope): Promise<readonly ImageSeen[]> {
  const blueprints = await listBlueprints(ports);
  return await ports.meta.read(async (tx) => {
    const seen: ImageSeen[] = [];
    for (const blueprint of blueprints.filter(({ isActive }) => isActive)) {
      const snapshot = await tx.snapshots.find(blueprint.snapshot);
      if (snapshot === null) continue;
      const image = imageOf(blueprint, { ...scope, account: snapshot.account });
      seen.push({ image, state: 'available', isEncrypted: [snapshot.encryption !== null] });
    }
    return seen;
  });
}

function imageOf(blueprint: Blueprint, scope: Scope): Image {
  const { id, description, createdAtMs, snapshot, diskGibMin, userName } = blueprint;
  const volume = { type: 'gp3', iops: null, throughputMibps: null } as const;
  return {
    account: scope.account,
    region: scope.region,
    id: imageIdOf(blueprint, scope.region),
    name: id,
    description,
    createdAtMs,
    devices: [{ device: SYSTEM_DEVICE, snapshot, sizeGib: diskGibMin, ...volume, deleteOnTermination: true }],
    sourceInstance: null,
    userName,
    enaSupport: true,
    blueprint: id,
    tags: {},
  };
}

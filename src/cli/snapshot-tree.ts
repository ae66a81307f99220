import { formatBytes } from './image-progress.ts';
import type { ListedSnapshot } from './snapshots.ts';
import { printable } from './table.ts';
import type { ListedVolume } from './volumes.ts';

/** A volume or snapshot with what was made of it, the oldest first. */
export interface TreeNode {
  readonly id: string;
  readonly kind: 'volume' | 'snapshot';
  readonly name: string | null;
  readonly state: string;
  readonly atMs: number;
  readonly sizeBytes: number;
  /** Of a snapshot: what differs from the one before it, and what deleting it would free; null: not known. */
  readonly changedBytes: number | null;
  readonly exclusiveBytes: number | null;
  /** It is a copy of what stands above it. */
  readonly isCopy: boolean;
  /** A volume that is gone, of which there are snapshots. */
  readonly isGone: boolean;
  readonly children: readonly TreeNode[];
}

/**
 * What descends from what. A volume stands above its snapshots, a snapshot above what was restored from it or copied of it:
 * snapshots of one volume are brothers in the order of time, since each is whole by itself.
 */
export function treesOf(volumes: readonly ListedVolume[], snapshots: readonly ListedSnapshot[]): readonly TreeNode[] {
  const volumeIds = new Set(volumes.map(({ id }) => id));
  const snapshotIds = new Set(snapshots.map(({ id }) => id));
  const under = new Map<string, (() => TreeNode)[]>();
  const roots: (() => TreeNode)[] = [];
  const place = (above: string | null, make: () => TreeNode): void => {
    if (above === null) roots.push(make);
    else {
      const brothers = under.get(above);
      if (brothers === undefined) under.set(above, [make]);
      else brothers.push(make);
    }
  };
  const childrenOf = (id: string): readonly TreeNode[] =>
    (under.get(id) ?? []).map((make) => make()).toSorted((left, right) => left.atMs - right.atMs);
  for (const volume of volumes) {
    const above = volume.origin !== null && snapshotIds.has(volume.origin) ? volume.origin : null;
    place(above, () => volumeNode(volume, childrenOf(volume.id)));
  }
  for (const snapshot of snapshots) {
    const { copiedFrom, volume } = snapshot;
    if (copiedFrom !== null)
      place(snapshotIds.has(copiedFrom) ? copiedFrom : null, () => snapshotNode(snapshot, childrenOf));
    else place(volume, () => snapshotNode(snapshot, childrenOf));
  }
  for (const { snapshots: own, ...gone } of goneVolumes(snapshots, volumeIds)) {
    const origin = originOf(own);
    place(origin !== null && snapshotIds.has(origin) ? origin : null, () => ({
      ...gone,
      children: childrenOf(gone.id),
    }));
  }
  return roots.map((make) => make()).toSorted((left, right) => left.atMs - right.atMs);
}

function volumeNode(volume: ListedVolume, children: readonly TreeNode[]): TreeNode {
  const { id, name, state, sizeBytes, createdAtMs: atMs } = volume;
  return {
    ...{ id, kind: 'volume', name, state, atMs, sizeBytes, isCopy: false, isGone: false, children },
    ...{ changedBytes: null, exclusiveBytes: null },
  };
}

function snapshotNode(snapshot: ListedSnapshot, childrenOf: (id: string) => readonly TreeNode[]): TreeNode {
  const { id, name, state, sizeBytes, startedAtMs: atMs, changedBytes, exclusiveBytes, copiedFrom } = snapshot;
  const shown = state === 'pending' ? `pending ${snapshot.progressPercent}%` : state;
  return {
    ...{ id, kind: 'snapshot', name, state: shown, atMs, sizeBytes, changedBytes, exclusiveBytes },
    ...{ isCopy: copiedFrom !== null, isGone: false, children: childrenOf(id) },
  };
}

/** Volumes that are not there any more, each with its snapshots. */
function goneVolumes(
  snapshots: readonly ListedSnapshot[],
  there: ReadonlySet<string>,
): readonly (TreeNode & { readonly snapshots: readonly ListedSnapshot[] })[] {
  const gone = new Map<string, ListedSnapshot[]>();
  for (const snapshot of snapshots) {
    if (snapshot.copiedFrom !== null || there.has(snapshot.volume)) continue;
    const own = gone.get(snapshot.volume);
    if (own === undefined) gone.set(snapshot.volume, [snapshot]);
    else own.push(snapshot);
  }
  return [...gone].map(([id, own]) => {
    const newest = own.at(-1);
    return {
      id,
      kind: 'volume',
      name: newest?.volumeName ?? null,
      state: 'gone',
      atMs: own.reduce((first, { startedAtMs }) => Math.min(first, startedAtMs), Infinity),
      sizeBytes: newest?.sizeBytes ?? 0,
      changedBytes: null,
      exclusiveBytes: null,
      isCopy: false,
      isGone: true,
      children: [],
      snapshots: own,
    };
  });
}

/** The first snapshot of a volume has what the volume was made from as its parent. */
function originOf(own: readonly ListedSnapshot[]): string | null {
  const ids = new Set(own.map(({ id }) => id));
  return own.find(({ parent }) => parent !== null && !ids.has(parent))?.parent ?? null;
}

/** Those trees of which a part has one of these ids; all of it is shown, since it is what descends from one. */
export function treesWith(trees: readonly TreeNode[], ids: ReadonlySet<string>): readonly TreeNode[] {
  const holds = (node: TreeNode): boolean => ids.has(node.id) || node.children.some(holds);
  return trees.filter(holds);
}

/** The lines of a tree for a person. */
export function* treeLines(trees: readonly TreeNode[]): Generator<string> {
  for (const tree of trees) {
    yield nodeWords(tree);
    yield* branchLines(tree, '');
  }
}

function* branchLines({ children }: TreeNode, before: string): Generator<string> {
  for (const [at, child] of children.entries()) {
    const isLast = at === children.length - 1;
    yield `${before}${isLast ? '└─ ' : '├─ '}${nodeWords(child)}`;
    yield* branchLines(child, `${before}${isLast ? '   ' : '│  '}`);
  }
}

function nodeWords(node: TreeNode): string {
  const name = node.name === null ? '' : `${printable(node.name)}  `;
  const facts = [`${node.kind === 'volume' ? 'disk of ' : ''}${formatBytes(node.sizeBytes)}`];
  if (node.kind === 'snapshot') {
    facts[0] = new Date(node.atMs).toISOString().slice(0, 19).replace('T', ' ');
    if (node.isCopy) facts.push('a copy');
    if (node.changedBytes !== null) facts.push(`${formatBytes(node.changedBytes)} changed`);
    if (node.exclusiveBytes !== null) facts.push(`${formatBytes(node.exclusiveBytes)} its own`);
  }
  if (node.isGone) facts.push('deleted');
  else if (node.state !== 'completed' && node.state !== 'available') facts.push(node.state);
  return `${name}${node.id}  (${facts.join(', ')})`;
}

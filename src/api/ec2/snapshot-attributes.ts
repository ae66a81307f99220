import type { Handler } from '#api/handler.ts';
import * as sharing from '#control/public-sharing.ts';
import { checkSharing, shareSnapshot, type ShareSnapshot } from '#control/snapshot-sharing.ts';
import { findSnapshot } from '#control/snapshots.ts';
import { parseAccountId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidCombination, invalidParameter, malformedUserId, missingParameter } from './errors.ts';
import { requireSnapshotId } from './ids.ts';
import { productCodeViews } from './product-codes.ts';

type ModifyRequest = InputOf<'ec2', 'ModifySnapshotAttribute'>;
type Grantee = Snapshot['sharedWith'][number];

const PERMISSION = 'createVolumePermission';
/** AWS: so many changes in one request. */
const CHANGES_MAX = 500;

export const modifySnapshotAttribute: Handler<ModifyRequest, OutputOf<'ec2', 'ModifySnapshotAttribute'>> = async (
  { ports, scope },
  request,
) => {
  const id = requireSnapshotId(request.SnapshotId);
  const changes = parseChanges(request);
  if (request.DryRun === true) await checkSharing(ports, scope, id, changes);
  endDryRun(request);
  await shareSnapshot(ports, scope, id, changes);
  return {};
};

/** The request says its changes in one of two forms: `CreateVolumePermission.Add.N`, or `OperationType` with `UserId.N` and `UserGroup.N`. */
function parseChanges(request: ModifyRequest): ShareSnapshot {
  const { Attribute: attribute, CreateVolumePermission: structured, OperationType: operation } = request;
  const { UserIds: userIds = [], GroupNames: groupNames = [] } = request;
  if (attribute !== undefined && attribute !== PERMISSION) {
    throw invalidParameter('attribute', attribute, `Only ${PERMISSION} can be modified.`);
  }
  const isFlat = operation !== undefined || userIds.length > 0 || groupNames.length > 0;
  if (structured !== undefined && isFlat) {
    throw invalidCombination('The parameters CreateVolumePermission and OperationType cannot be used together');
  }
  const changes = structured === undefined ? flatChanges(request) : structuredChanges(structured);
  const count = changes.add.length + changes.remove.length;
  if (count === 0) throw missingParameter(PERMISSION);
  if (count > CHANGES_MAX) {
    throw invalidParameter(PERMISSION, String(count), `At most ${CHANGES_MAX} modifications are allowed in a request.`);
  }
  return changes;
}

function structuredChanges(changes: NonNullable<ModifyRequest['CreateVolumePermission']>): ShareSnapshot {
  const grantees = (list: typeof changes.Add): readonly Grantee[] =>
    (list ?? []).map(({ UserId: user, Group: group }) => {
      if (user !== undefined && group !== undefined) {
        throw invalidCombination('The parameters UserId and Group cannot be used together');
      }
      if (group !== undefined) return parseGroup(group);
      if (user === undefined) throw missingParameter('UserId');
      return parseUser(user);
    });
  return { add: grantees(changes.Add), remove: grantees(changes.Remove) };
}

function flatChanges({ OperationType: operation, UserIds, GroupNames }: ModifyRequest): ShareSnapshot {
  const grantees = [...(UserIds ?? []).map(parseUser), ...(GroupNames ?? []).map(parseGroup)];
  if (operation === undefined) throw missingParameter('OperationType');
  if (operation !== 'add' && operation !== 'remove') {
    throw invalidParameter('operationType', operation, "Valid values are 'add' and 'remove'.");
  }
  return operation === 'add' ? { add: grantees, remove: [] } : { add: [], remove: grantees };
}

function parseUser(text: string): Grantee {
  // People paste account ids as consoles show them.
  return parseAccountId(text.replaceAll('-', '')) ?? raise(malformedUserId(text));
}

function parseGroup(text: string): Grantee {
  if (text !== 'all') throw invalidParameter('userGroup', text, "Valid value is 'all'.");
  return 'all';
}

function raise(error: Error): never {
  throw error;
}

export const describeSnapshotAttribute: Handler<
  InputOf<'ec2', 'DescribeSnapshotAttribute'>,
  OutputOf<'ec2', 'DescribeSnapshotAttribute'>
> = async ({ ports, scope }, request) => {
  const id = requireSnapshotId(request.SnapshotId);
  const { Attribute: attribute } = request;
  if (attribute !== PERMISSION && attribute !== 'productCodes') {
    throw invalidParameter('attribute', attribute, 'Unknown snapshot attribute.');
  }
  const snapshot = await findSnapshot(ports, scope, id);
  endDryRun(request);
  if (attribute === 'productCodes') return { SnapshotId: id, ProductCodes: productCodeViews(snapshot.productCodes) };
  return {
    SnapshotId: id,
    CreateVolumePermissions: snapshot.sharedWith.map((one) => (one === 'all' ? { Group: 'all' } : { UserId: one })),
  };
};

export const resetSnapshotAttribute: Handler<
  InputOf<'ec2', 'ResetSnapshotAttribute'>,
  OutputOf<'ec2', 'ResetSnapshotAttribute'>
> = async ({ ports, scope }, request) => {
  const id = requireSnapshotId(request.SnapshotId);
  const { Attribute: attribute } = request;
  if (attribute !== PERMISSION) {
    throw invalidParameter('attribute', attribute, `Only ${PERMISSION} can be reset.`);
  }
  const { sharedWith } = await findSnapshot(ports, scope, id);
  endDryRun(request);
  await shareSnapshot(ports, scope, id, { add: [], remove: sharedWith });
  return {};
};

export const enableSnapshotBlockPublicAccess: Handler<
  InputOf<'ec2', 'EnableSnapshotBlockPublicAccess'>,
  OutputOf<'ec2', 'EnableSnapshotBlockPublicAccess'>
> = async ({ ports, scope }, request) => {
  const { State: state } = request;
  if (state === undefined) throw missingParameter('State');
  if (state !== 'block-all-sharing' && state !== 'block-new-sharing') {
    throw invalidParameter('state', state, "Valid values are 'block-all-sharing' and 'block-new-sharing'.");
  }
  endDryRun(request);
  await sharing.setPublicSharing(ports, scope, state);
  return { State: state };
};

export const disableSnapshotBlockPublicAccess: Handler<
  InputOf<'ec2', 'DisableSnapshotBlockPublicAccess'>,
  OutputOf<'ec2', 'DisableSnapshotBlockPublicAccess'>
> = async ({ ports, scope }, request) => {
  endDryRun(request);
  await sharing.setPublicSharing(ports, scope, 'unblocked');
  return { State: 'unblocked' };
};

export const getSnapshotBlockPublicAccessState: Handler<
  InputOf<'ec2', 'GetSnapshotBlockPublicAccessState'>,
  OutputOf<'ec2', 'GetSnapshotBlockPublicAccessState'>
> = async ({ ports, scope }, request) => {
  endDryRun(request);
  return { State: await sharing.findPublicSharing(ports, scope) };
};

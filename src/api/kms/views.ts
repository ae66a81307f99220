import { aliasArn, keyArn } from '#domain/kms/arn.ts';
import type { Grant } from '#domain/kms/grant.ts';
import { currentMaterial, isUsable, type KeyMaterial, type KmsKey, keyState } from '#domain/kms/key.ts';
import type { Alias } from '#control/kms/records.ts';
import type { Scope } from '#domain/volume.ts';
import type { AliasListEntry, GrantListEntry, KeyMetadata, RotationsListEntry } from '#wire/aws/models/kms.ts';

const STATES = {
  enabled: 'Enabled',
  disabled: 'Disabled',
  'pending-deletion': 'PendingDeletion',
  'pending-import': 'PendingImport',
} as const;

/** Absent where AWS has the member only in some states. */
export function keyMetadata(key: KmsKey, nowMs: number): KeyMetadata {
  const state = keyState(key, nowMs);
  const current = currentMaterial(key);
  return {
    AWSAccountId: key.account,
    KeyId: key.id,
    Arn: keyArn(key),
    CreationDate: new Date(key.createdAtMs),
    Enabled: state === 'enabled',
    Description: key.description,
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeyState: STATES[state],
    Origin: key.origin === 'generated' ? 'AWS_KMS' : 'EXTERNAL',
    KeyManager: key.manager === 'service' ? 'AWS' : 'CUSTOMER',
    CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    KeySpec: 'SYMMETRIC_DEFAULT',
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    MultiRegion: false,
    ...(key.deletion === null ? {} : { DeletionDate: new Date(key.deletion.atMs) }),
    ...(current === null ? {} : { CurrentKeyMaterialId: current.id }),
    ...(key.origin === 'imported' && current !== null && isUsable(current, nowMs) ? expiryOf(current) : {}),
  };
}

function expiryOf({ expiresAtMs }: KeyMaterial): Pick<KeyMetadata, 'ExpirationModel' | 'ValidTo'> {
  return expiresAtMs === null
    ? { ExpirationModel: 'KEY_MATERIAL_DOES_NOT_EXPIRE' }
    : { ExpirationModel: 'KEY_MATERIAL_EXPIRES', ValidTo: new Date(expiresAtMs) };
}

export function aliasEntry(scope: Scope, alias: Alias): AliasListEntry {
  return {
    AliasName: alias.name,
    AliasArn: aliasArn(scope, alias.name),
    TargetKeyId: alias.key,
    CreationDate: new Date(alias.createdAtMs),
    LastUpdatedDate: new Date(alias.updatedAtMs),
  };
}

export function grantEntry(scope: Scope, grant: Grant): GrantListEntry {
  const { subset, equals } = grant.constraints;
  return {
    KeyId: keyArn({ ...scope, id: grant.key }),
    GrantId: grant.id,
    ...(grant.name === null ? {} : { Name: grant.name }),
    CreationDate: new Date(grant.createdAtMs),
    GranteePrincipal: grant.grantee,
    ...(grant.retiring === null ? {} : { RetiringPrincipal: grant.retiring }),
    IssuingAccount: `arn:aws:iam::${grant.issuer}:root`,
    Operations: grant.operations,
    ...(subset === null && equals === null
      ? {}
      : {
          Constraints: {
            ...(subset === null ? {} : { EncryptionContextSubset: subset }),
            ...(equals === null ? {} : { EncryptionContextEquals: equals }),
          },
        }),
  };
}

const MATERIAL_STATES = {
  current: 'CURRENT',
  'non-current': 'NON_CURRENT',
  'pending-rotation': 'PENDING_ROTATION',
} as const;

export function rotationEntry(key: KmsKey, material: KeyMaterial, nowMs: number): RotationsListEntry {
  const { rotation, description } = material;
  const isHere = isUsable(material, nowMs);
  return {
    KeyId: keyArn(key),
    KeyMaterialId: material.id,
    KeyMaterialState: MATERIAL_STATES[material.state],
    ...(description === null ? {} : { KeyMaterialDescription: description }),
    ...(key.origin === 'imported' ? { ImportState: isHere ? 'IMPORTED' : 'PENDING_IMPORT' } : {}),
    ...(key.origin === 'imported' && isHere ? expiryOf(material) : {}),
    ...(rotation === null
      ? {}
      : {
          RotationDate: new Date(rotation.atMs),
          RotationType: rotation.type === 'automatic' ? 'AUTOMATIC' : 'ON_DEMAND',
        }),
  };
}

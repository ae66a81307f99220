import { defineFace, type Face } from '#api/handler.ts';
import * as aliases from './aliases.ts';
import { asking } from './calls.ts';
import { mapFailure } from './errors.ts';
import * as grants from './grants.ts';
import * as imports from './import.ts';
import * as keys from './keys.ts';
import * as messages from './messages.ts';
import * as rotation from './rotation.ts';

/** KMS: symmetric keys, and what is sealed with them. */
export const kmsFace: Face = defineFace({
  service: 'kms',
  repeatable: ['Get', 'List', 'Describe', 'Encrypt', 'Decrypt', 'ReEncrypt', 'Generate'],
  mapFailure,
  handlers: {
    CancelKeyDeletion: asking(keys.cancelKeyDeletion),
    CreateAlias: asking(aliases.createAlias),
    CreateGrant: asking(grants.createGrant),
    CreateKey: asking(keys.createKey),
    Decrypt: asking(messages.decrypt),
    DeleteAlias: asking(aliases.deleteAlias),
    DeleteImportedKeyMaterial: asking(imports.deleteImportedKeyMaterial),
    DescribeKey: asking(keys.describeKey),
    DisableKey: asking(keys.disableKey),
    DisableKeyRotation: asking(rotation.disableKeyRotation),
    EnableKey: asking(keys.enableKey),
    EnableKeyRotation: asking(rotation.enableKeyRotation),
    Encrypt: asking(messages.encrypt),
    GenerateDataKey: asking(messages.generateDataKey),
    GenerateDataKeyWithoutPlaintext: asking(messages.generateDataKeyWithoutPlaintext),
    GenerateRandom: asking(messages.generateRandom),
    GetKeyPolicy: asking(keys.getKeyPolicy),
    GetKeyRotationStatus: asking(rotation.getKeyRotationStatus),
    GetParametersForImport: asking(imports.getParametersForImport),
    ImportKeyMaterial: asking(imports.importKeyMaterial),
    ListAliases: asking(aliases.listAliases),
    ListGrants: asking(grants.listGrants),
    ListKeyPolicies: asking(keys.listKeyPolicies),
    ListKeyRotations: asking(rotation.listKeyRotations),
    ListKeys: asking(keys.listKeys),
    ListResourceTags: asking(keys.listResourceTags),
    ListRetirableGrants: asking(grants.listRetirableGrants),
    PutKeyPolicy: asking(keys.putKeyPolicy),
    ReEncrypt: asking(messages.reEncrypt),
    RetireGrant: asking(grants.retireGrant),
    RevokeGrant: asking(grants.revokeGrant),
    RotateKeyOnDemand: asking(rotation.rotateKeyOnDemand),
    ScheduleKeyDeletion: asking(keys.scheduleKeyDeletion),
    TagResource: asking(keys.tagResource),
    UntagResource: asking(keys.untagResource),
    UpdateAlias: asking(aliases.updateAlias),
    UpdateKeyDescription: asking(keys.updateKeyDescription),
  },
});

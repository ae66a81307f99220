import { defineFace, type Face } from '#api/handler.ts';
import { absentHandlers } from './absent.ts';
import {
  createContactMethod,
  deleteAlarm,
  deleteContactMethod,
  getAlarms,
  getContactMethods,
  putAlarm,
  sendContactMethodVerification,
  testAlarm,
} from './alarms.ts';
import { deleteAutoSnapshot, disableAddOn, enableAddOn, getAutoSnapshots } from './add-ons.ts';
import { createDiskSnapshot, deleteDiskSnapshot, getDiskSnapshot, getDiskSnapshots } from './disk-snapshots.ts';
import { getActiveNames, getBlueprints, getBundles } from './catalogue.ts';
import { attachDisk, createDisk, createDiskFromSnapshot, deleteDisk, detachDisk, getDisk, getDisks } from './disks.ts';
import { mapFailure } from './errors.ts';
import { exportSnapshot, getExportSnapshotRecords } from './exports.ts';
import {
  createInstanceSnapshot,
  deleteInstanceSnapshot,
  getInstanceSnapshot,
  getInstanceSnapshots,
} from './instance-snapshots.ts';
import { createInstancesFromSnapshot } from './instances-from-snapshot.ts';
import {
  createInstances,
  deleteInstance,
  getInstance,
  getInstanceAccessDetails,
  getInstances,
  getInstanceState,
  rebootInstance,
  startInstance,
  stopInstance,
} from './instances.ts';
import {
  createKeyPair,
  deleteKeyPair,
  downloadDefaultKeyPair,
  getKeyPair,
  getKeyPairs,
  importKeyPair,
} from './key-pairs.ts';
import { getInstanceMetricData } from './metrics.ts';
import {
  closeInstancePublicPorts,
  deleteKnownHostKeys,
  getInstancePortStates,
  openInstancePublicPorts,
  putInstancePublicPorts,
  setIpAddressType,
  updateInstanceMetadataOptions,
} from './networking.ts';
import { getOperation, getOperations, getOperationsForResource } from './operations.ts';
import { admitRegion, getRegions } from './regions.ts';
import { copySnapshot } from './snapshot-copies.ts';
import {
  allocateStaticIp,
  attachStaticIp,
  detachStaticIp,
  getStaticIp,
  getStaticIps,
  releaseStaticIp,
} from './static-ips.ts';
import { tagResource, untagResource } from './tags.ts';

export const lightsailFace: Face = defineFace({
  service: 'lightsail',
  repeatable: ['Get', 'Is'],
  admit: admitRegion,
  mapFailure,
  handlers: {
    ...absentHandlers,
    GetRegions: getRegions,
    GetBundles: getBundles,
    GetBlueprints: getBlueprints,
    GetActiveNames: getActiveNames,
    CreateInstances: createInstances,
    GetInstance: getInstance,
    GetInstances: getInstances,
    GetInstanceState: getInstanceState,
    GetInstanceAccessDetails: getInstanceAccessDetails,
    StartInstance: startInstance,
    StopInstance: stopInstance,
    RebootInstance: rebootInstance,
    DeleteInstance: deleteInstance,
    CreateKeyPair: createKeyPair,
    ImportKeyPair: importKeyPair,
    GetKeyPair: getKeyPair,
    GetKeyPairs: getKeyPairs,
    DeleteKeyPair: deleteKeyPair,
    DownloadDefaultKeyPair: downloadDefaultKeyPair,
    CreateDisk: createDisk,
    CreateDiskFromSnapshot: createDiskFromSnapshot,
    GetDisk: getDisk,
    GetDisks: getDisks,
    AttachDisk: attachDisk,
    DetachDisk: detachDisk,
    DeleteDisk: deleteDisk,
    CreateDiskSnapshot: createDiskSnapshot,
    GetDiskSnapshot: getDiskSnapshot,
    GetDiskSnapshots: getDiskSnapshots,
    DeleteDiskSnapshot: deleteDiskSnapshot,
    CreateInstanceSnapshot: createInstanceSnapshot,
    GetInstanceSnapshot: getInstanceSnapshot,
    GetInstanceSnapshots: getInstanceSnapshots,
    DeleteInstanceSnapshot: deleteInstanceSnapshot,
    CreateInstancesFromSnapshot: createInstancesFromSnapshot,
    CopySnapshot: copySnapshot,
    ExportSnapshot: exportSnapshot,
    GetExportSnapshotRecords: getExportSnapshotRecords,
    EnableAddOn: enableAddOn,
    DisableAddOn: disableAddOn,
    GetAutoSnapshots: getAutoSnapshots,
    DeleteAutoSnapshot: deleteAutoSnapshot,
    GetOperation: getOperation,
    GetOperations: getOperations,
    GetOperationsForResource: getOperationsForResource,
    OpenInstancePublicPorts: openInstancePublicPorts,
    CloseInstancePublicPorts: closeInstancePublicPorts,
    PutInstancePublicPorts: putInstancePublicPorts,
    GetInstancePortStates: getInstancePortStates,
    AllocateStaticIp: allocateStaticIp,
    AttachStaticIp: attachStaticIp,
    DetachStaticIp: detachStaticIp,
    ReleaseStaticIp: releaseStaticIp,
    GetStaticIp: getStaticIp,
    GetStaticIps: getStaticIps,
    SetIpAddressType: setIpAddressType,
    UpdateInstanceMetadataOptions: updateInstanceMetadataOptions,
    DeleteKnownHostKeys: deleteKnownHostKeys,
    GetInstanceMetricData: getInstanceMetricData,
    PutAlarm: putAlarm,
    GetAlarms: getAlarms,
    DeleteAlarm: deleteAlarm,
    TestAlarm: testAlarm,
    CreateContactMethod: createContactMethod,
    GetContactMethods: getContactMethods,
    DeleteContactMethod: deleteContactMethod,
    SendContactMethodVerification: sendContactMethodVerification,
    TagResource: tagResource,
    UntagResource: untagResource,
  },
});

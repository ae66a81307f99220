import type { InputOf } from '#wire/aws/operations.ts';
import { unsupportedRequest } from './errors.ts';

type RunRequest = InputOf<'ec2', 'RunInstances'>;
type Asked = readonly (readonly [string, unknown])[];

/** What this server cannot give is refused, not left out: the client would believe that it has it. */
export function refuseUnbuilt(request: RunRequest): void {
  const asked = [...ofInstance(request), ...ofPlacement(request), ...ofNetwork(request)].find(([, value]) =>
    isAsked(value),
  );
  if (asked !== undefined) throw unsupportedRequest(`The parameter ${asked[0]} is not supported by this server.`);
}

function isAsked(value: unknown): boolean {
  return value !== undefined && !(Array.isArray(value) && value.length === 0);
}

/** `undefined`: what every instance here has anyway. */
function otherThan<T>(value: T | undefined, ...usual: readonly T[]): T | undefined {
  return value === undefined || usual.includes(value) ? undefined : value;
}

function ofInstance(request: RunRequest): Asked {
  const { CapacityReservationSpecification: capacity, MaintenanceOptions: maintenance } = request;
  return [
    ['LaunchTemplate', request.LaunchTemplate],
    ['IamInstanceProfile', request.IamInstanceProfile],
    ['InstanceMarketOptions', request.InstanceMarketOptions],
    ['KernelId', request.KernelId],
    ['RamdiskId', request.RamdiskId],
    ['ElasticGpuSpecification', request.ElasticGpuSpecification],
    ['ElasticInferenceAccelerator', request.ElasticInferenceAccelerators],
    ['CpuOptions', request.CpuOptions],
    ['License', request.LicenseSpecifications],
    ['Operator', request.Operator],
    ['HibernationOptions', otherThan(request.HibernationOptions?.Configured, false)],
    ['EnclaveOptions', otherThan(request.EnclaveOptions?.Enabled, false)],
    ['Monitoring', otherThan(request.Monitoring?.Enabled, false)],
    ['MaintenanceOptions.AutoRecovery', otherThan(maintenance?.AutoRecovery, 'default')],
    ['CapacityReservationSpecification.CapacityReservationTarget', capacity?.CapacityReservationTarget],
    [
      'CapacityReservationSpecification.CapacityReservationPreference',
      otherThan(capacity?.CapacityReservationPreference, 'open', 'none'),
    ],
  ];
}

function ofPlacement({ Placement: placement = {} }: RunRequest): Asked {
  return [
    ['Placement.GroupName', otherThan(placement.GroupName, '')],
    ['Placement.GroupId', placement.GroupId],
    ['Placement.HostId', placement.HostId],
    ['Placement.HostResourceGroupArn', placement.HostResourceGroupArn],
    ['Placement.PartitionNumber', placement.PartitionNumber],
    ['Placement.Tenancy', otherThan(placement.Tenancy, 'default')],
  ];
}

/** Every instance has one interface, made with it, with an address that its network gives, and one where it is reached. */
function ofNetwork(request: RunRequest): Asked {
  const { NetworkInterfaces: [device = {}, second] = [], PrivateDnsNameOptions: names } = request;
  return [
    ['PrivateIpAddress', request.PrivateIpAddress],
    ['Ipv6Address', request.Ipv6Addresses],
    ['Ipv6AddressCount', otherThan(request.Ipv6AddressCount, 0)],
    ['EnablePrimaryIpv6', otherThan(request.EnablePrimaryIpv6, false)],
    ['SecondaryInterface', request.SecondaryInterfaces],
    ['NetworkPerformanceOptions', otherThan(request.NetworkPerformanceOptions?.BandwidthWeighting, 'default')],
    ['PrivateDnsNameOptions.HostnameType', otherThan(names?.HostnameType, 'ip-name')],
    ['PrivateDnsNameOptions.EnableResourceNameDnsARecord', otherThan(names?.EnableResourceNameDnsARecord, false)],
    ['PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord', otherThan(names?.EnableResourceNameDnsAAAARecord, false)],
    ['NetworkInterface.2', second],
    ['NetworkInterface.NetworkInterfaceId', device.NetworkInterfaceId],
    ['NetworkInterface.AssociatePublicIpAddress', otherThan(device.AssociatePublicIpAddress, true)],
    ['NetworkInterface.DeleteOnTermination', otherThan(device.DeleteOnTermination, true)],
    ['NetworkInterface.DeviceIndex', otherThan(device.DeviceIndex, 0)],
    ['NetworkInterface.InterfaceType', otherThan(device.InterfaceType, 'interface')],
    ['NetworkInterface.NetworkCardIndex', otherThan(device.NetworkCardIndex, 0)],
    ['NetworkInterface.PrivateIpAddress', device.PrivateIpAddress],
    ['NetworkInterface.PrivateIpAddresses', device.PrivateIpAddresses],
    ['NetworkInterface.SecondaryPrivateIpAddressCount', otherThan(device.SecondaryPrivateIpAddressCount, 0)],
    ['NetworkInterface.Ipv6Addresses', device.Ipv6Addresses],
    ['NetworkInterface.Ipv6AddressCount', otherThan(device.Ipv6AddressCount, 0)],
    ['NetworkInterface.Ipv4PrefixCount', otherThan(device.Ipv4PrefixCount, 0)],
    ['NetworkInterface.Ipv6PrefixCount', otherThan(device.Ipv6PrefixCount, 0)],
    ['NetworkInterface.AssociateCarrierIpAddress', otherThan(device.AssociateCarrierIpAddress, false)],
  ];
}

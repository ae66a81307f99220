import {
  closePorts,
  forgetHostKeys,
  openPorts,
  putPorts,
  setAddressType,
  setMetadataOptions,
} from '#control/machines/networking.ts';
import { findInstance } from '#control/machines/records.ts';
import { refuse } from '#domain/errors.ts';
import type { OpenPorts } from '#domain/instance.ts';
import { EVERYBODY } from '#domain/open-ports.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  CloseInstancePublicPortsRequest,
  CloseInstancePublicPortsResult,
  DeleteKnownHostKeysRequest,
  DeleteKnownHostKeysResult,
  GetInstancePortStatesRequest,
  GetInstancePortStatesResult,
  OpenInstancePublicPortsRequest,
  OpenInstancePublicPortsResult,
  PortInfo,
  PutInstancePublicPortsRequest,
  PutInstancePublicPortsResult,
  SetIpAddressTypeRequest,
  SetIpAddressTypeResult,
  UpdateInstanceMetadataOptionsRequest,
  UpdateInstanceMetadataOptionsResult,
} from '#wire/aws/models/lightsail.ts';
import { refuseInvalid, refuseUnsupported } from './errors.ts';
import { portStateView } from './instance-views.ts';
import { firstOperation, operationView } from './views.ts';

const PORT_MAX = 65_535;

export async function openInstancePublicPorts(
  { ports, scope, operation }: CallContext,
  input: OpenInstancePublicPortsRequest,
): Promise<OpenInstancePublicPortsResult> {
  const opened = parsePorts(input.portInfo);
  return firstOperation(await openPorts(ports, scope, { name: input.instanceName, operation, opened }));
}

export async function closeInstancePublicPorts(
  { ports, scope, operation }: CallContext,
  input: CloseInstancePublicPortsRequest,
): Promise<CloseInstancePublicPortsResult> {
  const closed = parsePorts(input.portInfo);
  return firstOperation(await closePorts(ports, scope, { name: input.instanceName, operation, closed }));
}

export async function putInstancePublicPorts(
  { ports, scope, operation }: CallContext,
  input: PutInstancePublicPortsRequest,
): Promise<PutInstancePublicPortsResult> {
  const open = input.portInfos.map(parsePorts);
  return firstOperation(await putPorts(ports, scope, { name: input.instanceName, operation, open }));
}

export async function getInstancePortStates(
  { ports, scope }: CallContext,
  input: GetInstancePortStatesRequest,
): Promise<GetInstancePortStatesResult> {
  const instance = await findInstance(ports, scope, { name: input.instanceName });
  return { portStates: instance.openPorts.map(portStateView) };
}

/** Who names nobody means everybody; who names anybody means them alone. */
function parsePorts(info: PortInfo): OpenPorts {
  const { protocol, cidrs = [], ipv6Cidrs = [], cidrListAliases: aliases = [] } = info;
  if (protocol === undefined) refuseInvalid('The parameter protocol is required.', 'Add the parameter.');
  const isAll = protocol === 'all';
  const fromPort = info.fromPort ?? (isAll ? 0 : null);
  const toPort = info.toPort ?? (isAll ? PORT_MAX : null);
  if (fromPort === null || toPort === null) {
    refuseInvalid('The parameters fromPort and toPort are required.', 'Add the parameters.');
  }
  const isOfAll = cidrs.length === 0 && ipv6Cidrs.length === 0 && aliases.length === 0;
  const whom = isOfAll ? EVERYBODY : { cidrs, ipv6Cidrs, ...(aliases.length === 0 ? {} : { aliases }) };
  return { protocol, fromPort, toPort, ...whom };
}

export async function setIpAddressType(
  { ports, scope, operation }: CallContext,
  input: SetIpAddressTypeRequest,
): Promise<SetIpAddressTypeResult> {
  const { resourceName: name, resourceType, ipAddressType: addressType } = input;
  if (resourceType === 'Distribution' || resourceType === 'LoadBalancer') {
    refuse({ kind: 'not-found', resource: 'resource', id: name });
  }
  if (resourceType !== 'Instance') {
    refuseUnsupported(`A ${resourceType} has no address type: the resourceType is Instance.`);
  }
  const operations = await setAddressType(ports, scope, { name, operation, addressType });
  return { operations: operations.map(operationView) };
}

export async function updateInstanceMetadataOptions(
  { ports, scope, operation }: CallContext,
  input: UpdateInstanceMetadataOptionsRequest,
): Promise<UpdateInstanceMetadataOptionsResult> {
  const { instanceName: name, httpTokens, httpEndpoint, httpPutResponseHopLimit, httpProtocolIpv6 } = input;
  const options = {
    ...(httpTokens === undefined ? {} : { httpTokens }),
    ...(httpEndpoint === undefined ? {} : { httpEndpoint }),
    ...(httpPutResponseHopLimit === undefined ? {} : { httpPutResponseHopLimit }),
    ...(httpProtocolIpv6 === undefined ? {} : { httpProtocolIpv6 }),
  };
  return firstOperation(await setMetadataOptions(ports, scope, { name, operation, options }));
}

export async function deleteKnownHostKeys(
  { ports, scope, operation }: CallContext,
  { instanceName: name }: DeleteKnownHostKeysRequest,
): Promise<DeleteKnownHostKeysResult> {
  const operations = await forgetHostKeys(ports, scope, { name, operation });
  return { operations: operations.map(operationView) };
}

import {
  allocateStaticIp as allocate,
  attachStaticIp as attach,
  detachStaticIp as detach,
  findStaticIp,
  listStaticIps,
  releaseStaticIp as release,
} from '#control/machines/static-ips.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  AllocateStaticIpRequest,
  AllocateStaticIpResult,
  AttachStaticIpRequest,
  AttachStaticIpResult,
  DetachStaticIpRequest,
  DetachStaticIpResult,
  GetStaticIpRequest,
  GetStaticIpResult,
  GetStaticIpsRequest,
  GetStaticIpsResult,
  ReleaseStaticIpRequest,
  ReleaseStaticIpResult,
} from '#wire/aws/models/lightsail.ts';
import { staticIpView } from './instance-views.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { operationView } from './views.ts';

export async function allocateStaticIp(
  { ports, scope, operation }: CallContext,
  { staticIpName: name }: AllocateStaticIpRequest,
): Promise<AllocateStaticIpResult> {
  const { operations } = await allocate(ports, scope, { name, operation });
  return { operations: operations.map(operationView) };
}

export async function attachStaticIp(
  { ports, scope, operation }: CallContext,
  { staticIpName: name, instanceName }: AttachStaticIpRequest,
): Promise<AttachStaticIpResult> {
  const { operations } = await attach(ports, scope, { name, instanceName, operation });
  return { operations: operations.map(operationView) };
}

export async function detachStaticIp(
  { ports, scope, operation }: CallContext,
  { staticIpName: name }: DetachStaticIpRequest,
): Promise<DetachStaticIpResult> {
  const { operations } = await detach(ports, scope, { name, operation });
  return { operations: operations.map(operationView) };
}

export async function releaseStaticIp(
  { ports, scope, operation }: CallContext,
  { staticIpName: name }: ReleaseStaticIpRequest,
): Promise<ReleaseStaticIpResult> {
  const { operations } = await release(ports, scope, { name, operation });
  return { operations: operations.map(operationView) };
}

export async function getStaticIp(
  { ports, scope }: CallContext,
  { staticIpName }: GetStaticIpRequest,
): Promise<GetStaticIpResult> {
  return { staticIp: staticIpView(await findStaticIp(ports, scope, staticIpName)) };
}

export async function getStaticIps(
  { ports, scope }: CallContext,
  input: GetStaticIpsRequest,
): Promise<GetStaticIpsResult> {
  const { found, next } = await listStaticIps(ports, scope, { after: pageAfter(input), countMax: ITEMS_MAX });
  return { staticIps: found.map(staticIpView), ...nextPage(next) };
}

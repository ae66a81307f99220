import type { CallContext, Handler } from '#api/handler.ts';
import {
  deleteInstance,
  type PowerChanged,
  rebootInstances as reboot,
  startInstances as start,
  stopInstances as stop,
} from '#control/machines/power.ts';
import { refuseWithoutMachines } from '#control/machines/create.ts';
import { findInstance } from '#control/machines/records.ts';
import type { InstanceId } from '#domain/ids.ts';
import { type Instance, stateShown } from '#domain/instance.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { instanceRefusal, missingParameter, unsupportedRequest } from './errors.ts';
import { parseIds, requireInstanceId } from './ids.ts';
import { stateView } from './instance-views.ts';
import { requireRoot } from './root-volume.ts';

type StateChange = NonNullable<OutputOf<'ec2', 'StartInstances'>['StartingInstances']>[number];

// A request names several machines, and does what it says to all of them or to none. All are looked at first, for EC2's own
// words and a dry run; what happens to one between that and the deed, which is one transaction, is refused then.

export const startInstances: Handler<InputOf<'ec2', 'StartInstances'>, OutputOf<'ec2', 'StartInstances'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const instances = await allOf(context, request.InstanceIds);
  for (const one of instances) {
    refuseStates(one, ['stopping', 'shutting-down', 'terminated'], 'started');
    requireRoot(one);
  }
  await refuseWithoutMachines(ports);
  endDryRun(request);
  const changed = await start(ports, scope, idsOf(instances), null);
  return { StartingInstances: changed.map(changeView) };
};

export const stopInstances: Handler<InputOf<'ec2', 'StopInstances'>, OutputOf<'ec2', 'StopInstances'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  if (request.Hibernate === true) {
    throw unsupportedRequest('An instance that was not launched with hibernation cannot be hibernated.');
  }
  const instances = await allOf(context, request.InstanceIds);
  for (const one of instances) {
    refuseStates(one, ['pending', 'shutting-down', 'terminated'], 'stopped');
    if (one.options.disableApiStop) throw protectedFrom(one.id, 'stopped', 'disableApiStop');
  }
  endDryRun(request);
  const force = request.Force === true || request.SkipOsShutdown === true;
  const changed = await stop(ports, scope, idsOf(instances), { force, operation: null });
  return { StoppingInstances: changed.map(changeView) };
};

export const rebootInstances: Handler<InputOf<'ec2', 'RebootInstances'>, OutputOf<'ec2', 'RebootInstances'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const instances = await allOf(context, request.InstanceIds);
  for (const one of instances) {
    refuseStates(one, ['pending', 'stopping', 'stopped', 'shutting-down', 'terminated'], 'rebooted');
  }
  endDryRun(request);
  await reboot(ports, scope, idsOf(instances), null);
  return {};
};

/** One that is terminated already stays so: a repetition succeeds. */
export const terminateInstances: Handler<
  InputOf<'ec2', 'TerminateInstances'>,
  OutputOf<'ec2', 'TerminateInstances'>
> = async (context, request) => {
  const { ports, scope } = context;
  const instances = await allOf(context, request.InstanceIds);
  for (const { id, options } of instances) {
    if (options.disableApiTermination) throw protectedFrom(id, 'terminated', 'disableApiTermination');
  }
  endDryRun(request);
  const changed = await each(instances, async ({ id, state }): Promise<StateChange> => {
    await deleteInstance(ports, scope, id, { token: null, operation: null });
    const now = state === 'terminated' ? state : 'shutting-down';
    return { CurrentState: stateView(now), InstanceId: id, PreviousState: stateView(state) };
  });
  return { TerminatingInstances: changed };
};

async function allOf({ ports, scope }: CallContext, texts: readonly string[]): Promise<readonly Instance[]> {
  const ids = parseIds(texts, (text) => requireInstanceId(text));
  if (ids === null) throw missingParameter('InstanceId');
  return await each(ids, (id) => findInstance(ports, scope, id));
}

function idsOf(instances: readonly Instance[]): readonly InstanceId[] {
  return instances.map(({ id }) => id);
}

async function each<One, R>(all: readonly One[], work: (one: One) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (const one of all) results.push(await work(one));
  return results;
}

function changeView({ instance, before }: PowerChanged): StateChange {
  return { CurrentState: stateView(instance.state), InstanceId: instance.id, PreviousState: stateView(before) };
}

function refuseStates(instance: Instance, states: readonly Instance['state'][], what: string): void {
  const { id } = instance;
  const state = stateShown(instance);
  if (!states.includes(state)) return;
  const message = `The instance '${id}' is not in a state from which it can be ${what}: it is '${state}'.`;
  throw instanceRefusal('IncorrectInstanceState', message);
}

/** Terraform finds the attribute in the text. */
function protectedFrom(id: InstanceId, what: string, attribute: string): Error {
  const message = `The instance '${id}' may not be ${what}. Modify its '${attribute}' instance attribute and try again.`;
  return instanceRefusal('OperationNotPermitted', message);
}

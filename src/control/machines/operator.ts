import { refuse } from '#domain/errors.ts';
import { parseInstanceId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import { AmbiguousNameError } from '#control/operator.ts';
import type { ControlPorts } from '#control/ports.ts';
import { defaultKeyPair } from './key-pairs.ts';
import { INSTANCES } from './records.ts';

/** As many are named where a name is of several. */
const CHOICES_MAX = 10;

/** How to get into a machine by ssh. */
export interface SshAccess {
  readonly instance: Instance;
  readonly address: string;
  readonly port: number;
  readonly userName: string;
  /** A file as ssh reads it. It lets into every machine of Lightsail of the account and region. */
  readonly privateKey: string;
}

/** For whoever runs the server, across accounts and regions. Refuses: not-found, wrong-state (it does not run). Throws AmbiguousNameError. */
export async function sshAccessOf(ports: ControlPorts, nameOrId: string): Promise<SshAccess> {
  const instance = await machineOf(ports, nameOrId);
  const { id, name, state, userName, sshPort, account, region } = instance;
  if (state !== 'running') refuse({ kind: 'wrong-state', resource: 'instance', id: name ?? id, state });
  const { privateKey } = await defaultKeyPair(ports, { account, region });
  return { instance, address: ports.machinePlace.address, port: sshPort, userName, privateKey };
}

/** The end of what a machine wrote to its serial console. Refuses and throws as `sshAccessOf`, but for its state. */
export async function consoleOf(ports: ControlPorts, nameOrId: string, bytesMax: number): Promise<Buffer> {
  const { id } = await machineOf(ports, nameOrId);
  return await ports.hypervisor.console(id, bytesMax);
}

/** By id, by Lightsail's `supportCode`, by Lightsail's name or the tag Name. */
async function machineOf(ports: ControlPorts, text: string): Promise<Instance> {
  const { id = text } = /^\d{12}\/(?<id>.+)$/.exec(text)?.groups ?? {};
  const found = await ports.meta.read(async (tx) => {
    const instanceId = parseInstanceId(id);
    if (instanceId !== null) return (await tx.documents.everywhere(INSTANCES, instanceId)).map(({ record }) => record);
    const rows = await tx.documents.all(INSTANCES, { after: 0, countMax: Number.MAX_SAFE_INTEGER });
    return rows.map(({ record }) => record.record).filter(({ name, tags }) => (name ?? tags['Name']) === text);
  });
  const [first, second] = found;
  if (first === undefined) refuse({ kind: 'not-found', resource: 'instance', id: text });
  if (second !== undefined) {
    const choices = found.slice(0, CHOICES_MAX).map((one) => `${one.id} (${one.account}, ${one.region})`);
    throw new AmbiguousNameError(`"${text}" names several: ${choices.join(', ')}. Give the id`);
  }
  return first;
}

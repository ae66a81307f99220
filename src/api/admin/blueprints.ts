import { listBlueprints, registerBlueprint, removeBlueprint } from '#control/blueprints.ts';
import type { ControlPorts } from '#control/ports.ts';
import { DomainError, type Failure } from '#domain/errors.ts';
import { parseSnapshotId } from '#domain/ids.ts';

interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * - `GET` → `{ blueprints }`
 * - `POST ?snapshot=ID&id=…&name=…&group=…&description=…&version=…&userName=…&minimumPower=N&replace=1` → the blueprint
 * - `DELETE ?id=ID` → the blueprint that was
 */
export async function answerBlueprints(ports: ControlPorts, method: string, query: URLSearchParams): Promise<Reply> {
  try {
    if (method === 'GET') return { status: 200, body: { blueprints: await listBlueprints(ports) } };
    if (method === 'POST') return await register(ports, query);
    if (method === 'DELETE') {
      return { status: 200, body: { ...(await removeBlueprint(ports, query.get('id') ?? '')) } };
    }
  } catch (error) {
    if (error instanceof DomainError) return refused(inWords(error.failure));
    throw error;
  }
  return { status: 404, body: { message: `this server does not know "${method} /blueprints"` } };
}

async function register(ports: ControlPorts, query: URLSearchParams): Promise<Reply> {
  const text = (name: string): string => query.get(name) ?? '';
  const snapshot = parseSnapshotId(text('snapshot'));
  if (snapshot === null) return refused(`"${text('snapshot')}" is no id of a snapshot`);
  const made = await registerBlueprint(ports, {
    id: text('id'),
    name: text('name'),
    group: text('group'),
    description: text('description'),
    version: text('version'),
    snapshot,
    minimumPower: Number(query.get('minimumPower') ?? 0),
    userName: text('userName'),
    replaces: query.get('replace') === '1',
  });
  return { status: 200, body: { ...made } };
}

function refused(message: string): Reply {
  return { status: 400, body: { message } };
}

function inWords(failure: Failure): string {
  if (failure.kind === 'not-found') {
    return `there is no ${failure.resource === 'snapshot' ? 'snapshot' : 'blueprint'} "${failure.id}"`;
  }
  if (failure.kind === 'name-taken') {
    return `there is a blueprint "${failure.name}" already; replace it, or give another id`;
  }
  if (failure.kind === 'in-use') return `the snapshot ${failure.id} is that of the ${failure.by}`;
  if (failure.kind === 'wrong-state') {
    return `the snapshot ${failure.id} cannot be a blueprint now: it is ${failure.state}`;
  }
  if (failure.kind === 'invalid-value') return `${failure.field}: ${failure.reason}`;
  if (failure.kind === 'not-permitted') {
    return `a blueprint is for everybody, and this snapshot cannot be: ${failure.what}`;
  }
  return `refused: ${failure.kind}`;
}

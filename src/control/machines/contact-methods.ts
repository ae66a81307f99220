import type { ContactProtocol } from '#domain/alarm.ts';
import { refuse } from '#domain/errors.ts';
import { type ContactMethodId, newContactMethodId } from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import { TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import type { Scope, Tags } from '#domain/volume.ts';
import { recordDone } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';

/** Where somebody would be told of alarms. Nothing is sent from here, so nobody ever confirms that it is theirs. */
export interface ContactMethod extends Scope {
  readonly id: ContactMethodId;
  readonly protocol: ContactProtocol;
  /** An address of mail, or a number of a telephone. */
  readonly endpoint: string;
  readonly createdAtMs: number;
  readonly tags: Tags;
}

/** One of each protocol. */
export const CONTACT_METHODS: DocumentKind<ContactMethod> = {
  name: 'contact-method',
  idOf: ({ protocol }) => protocol,
  ownerOf: () => null,
};

const ENDPOINTS: Readonly<Record<ContactProtocol, { readonly form: RegExp; readonly words: string }>> = {
  Email: { form: /^[^\s@]+@[^\s@]+$/, words: 'it is an address of mail' },
  SMS: { form: /^\+[1-9]\d{6,14}$/, words: 'it is a telephone number in the form of E.164, as +15555550123' },
};

/** What an operation of it says, so that nobody waits for a message. */
const NOTHING_IS_SENT = 'this server sends no messages: it writes notifications to its log';

/** Refuses: invalid-value, not-permitted (there is one of that protocol). */
export async function createContactMethod(
  ports: ControlPorts,
  scope: Scope,
  request: {
    readonly protocol: ContactProtocol;
    readonly endpoint: string;
    readonly tags: readonly Tag[];
    readonly operation: string;
  },
): Promise<readonly Operation[]> {
  const { protocol, endpoint, operation } = request;
  const { form, words } = ENDPOINTS[protocol];
  if (!form.test(endpoint)) refuse({ kind: 'invalid-value', field: 'contactEndpoint', reason: words });
  return await ports.meta.transact(async (tx) => {
    if ((await tx.documents.find(CONTACT_METHODS, scope, protocol)) !== null) {
      refuse({ kind: 'not-permitted', what: `There is a contact method of the protocol ${protocol} already.` });
    }
    const made: ContactMethod = {
      account: scope.account,
      region: scope.region,
      id: newContactMethodId(ports.random),
      protocol,
      endpoint,
      createdAtMs: ports.clock.nowMs(),
      tags: tagsOf(TAG_RULES.lightsail, request.tags, ports.limitsOf(scope.account).tagCountMax),
    };
    await tx.documents.insert(CONTACT_METHODS, scope, made);
    return await done(ports, tx, made, operation);
  });
}

/** Refuses: not-found. */
export async function deleteContactMethod(
  ports: ControlPorts,
  scope: Scope,
  { protocol, operation }: { readonly protocol: ContactProtocol; readonly operation: string },
): Promise<readonly Operation[]> {
  return await ports.meta.transact(async (tx) => {
    const found = await contactMethodIn(tx, scope, protocol);
    await tx.documents.remove(CONTACT_METHODS, scope, protocol);
    return await done(ports, tx, found, operation);
  });
}

/** Nothing is sent, and the operation says so. Refuses: not-found. */
export async function verifyContactMethod(
  ports: ControlPorts,
  scope: Scope,
  { protocol, operation }: { readonly protocol: ContactProtocol; readonly operation: string },
): Promise<readonly Operation[]> {
  return await ports.meta.transact(async (tx) =>
    done(ports, tx, await contactMethodIn(tx, scope, protocol), operation),
  );
}

/** Of these protocols; none given: all. */
export async function listContactMethods(
  ports: ControlPorts,
  scope: Scope,
  protocols: readonly ContactProtocol[],
): Promise<readonly ContactMethod[]> {
  const rows = await ports.meta.read((tx) =>
    tx.documents.list(CONTACT_METHODS, scope, null, { after: 0, countMax: 2 }),
  );
  return rows
    .map(({ record }) => record)
    .filter(({ protocol }) => protocols.length === 0 || protocols.includes(protocol));
}

async function contactMethodIn(tx: ReadTx, scope: Scope, protocol: ContactProtocol): Promise<ContactMethod> {
  const found = await tx.documents.find(CONTACT_METHODS, scope, protocol);
  return found ?? refuse({ kind: 'not-found', resource: 'contact-method', id: protocol });
}

async function done(
  ports: ControlPorts,
  tx: Tx,
  { account, region, id, protocol }: ContactMethod,
  type: string,
): Promise<readonly Operation[]> {
  const draft = { type, resourceName: protocol, resourceType: 'ContactMethod', zone: 'all' } as const;
  return await recordDone(ports, tx, { account, region }, id, { ...draft, details: NOTHING_IS_SENT });
}

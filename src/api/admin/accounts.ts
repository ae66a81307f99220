import { createAccount, isAccountAlias, listAccounts, replaceRootKey } from '#control/access.ts';
import type { ControlPorts } from '#control/ports.ts';

interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** `GET /accounts`: all of them, with the ids of their roots' keys. `POST /accounts?alias=TEXT`: one more. */
export async function answerAccounts(ports: ControlPorts, method: string, query: URLSearchParams): Promise<Reply> {
  if (method === 'GET') return { status: 200, body: { accounts: await listAccounts(ports) } };
  const alias = query.get('alias');
  if (alias !== null && !isAccountAlias(alias)) {
    return {
      status: 400,
      body: { message: `"${alias}" is no alias: 3 to 63 of a-z, 0-9 and -, and no - at its ends` },
    };
  }
  const made = await createAccount(ports, alias === null ? {} : { alias });
  const body = { AccountId: made.account, AccessKeyId: made.accessKeyId, SecretAccessKey: made.secretAccessKey };
  return { status: 200, body: alias === null ? body : { ...body, Alias: alias } };
}

/** `POST /keys?replace=ID`: a new key for a root in the place of that one, which is refused from then on. */
export async function answerKeys(ports: ControlPorts, id: string): Promise<Reply> {
  const made = await replaceRootKey(ports, id);
  if (made === null) return { status: 400, body: { message: `there is no key "${id}" of an account's root` } };
  const { account: AccountId, accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey } = made;
  return { status: 200, body: { AccountId, AccessKeyId, SecretAccessKey } };
}

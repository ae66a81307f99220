/** Waits until a service says that something is so. */
import type { Clock } from '#base/clock.ts';
import { present } from '#base/assert.ts';
import type { Document, DocumentRecord, Wait } from '#client/command.ts';
import type { Caller } from './caller.ts';
import { isRecord } from './decode-reply.ts';
import { failure } from '#client/failure.ts';
import { ServiceError } from './service-error.ts';
import { waiterOf, type Acceptor } from './waiters.ts';

/** What a request came to. */
type Outcome =
  | { readonly kind: 'reply'; readonly document: DocumentRecord }
  | { readonly kind: 'error'; readonly error: ServiceError };

/** Throws ClientError: it cannot come to be so any more, or not soon enough, or the service has another error. */
export async function waitFor({ service, waiter: name, call }: Wait, caller: Caller, clock: Clock): Promise<void> {
  const waiter = present(waiterOf(service, name), 'the command names a waiter of the service');
  let last: Acceptor | null = null;
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await ask(caller, waiter.operation, call.input);
    const accepted = waiter.acceptors.find((acceptor) => accepts(acceptor, outcome)) ?? null;
    if (accepted === null && outcome.kind === 'error') {
      throw waiterFailure(name, `An error occurred (${outcome.error.code}): ${outcome.error.serviceMessage}`);
    }
    last = accepted ?? last;
    if (last?.state === 'success') return;
    if (last?.state === 'failure') {
      throw waiterFailure(name, `Waiter encountered a terminal failure state: ${explanation(last)}`);
    }
    if (attempt >= waiter.attemptsMax) {
      const before =
        last === null ? '' : `. Previously accepted state: ${explanation(accepted ?? waiter.acceptors.at(-1) ?? last)}`;
      throw waiterFailure(name, `Max attempts exceeded${before}`);
    }
    await clock.sleep(waiter.delaySeconds * 1000);
  }
}

async function ask(caller: Caller, operation: string, input: Wait['call']['input']): Promise<Outcome> {
  try {
    return { kind: 'reply', document: await caller.call(operation, input) };
  } catch (error) {
    if (error instanceof ServiceError) return { kind: 'error', error };
    throw error;
  }
}

function waiterFailure(name: string, reason: string): Error {
  return failure(`Waiter ${name} failed: ${reason}`);
}

function accepts(acceptor: Acceptor, outcome: Outcome): boolean {
  switch (acceptor.matcher) {
    case 'status':
      return (outcome.kind === 'error' ? outcome.error.status : 200) === acceptor.expected;
    case 'error':
      return outcome.kind === 'error' && outcome.error.code === acceptor.expected;
    case 'path':
      return outcome.kind === 'reply' && isAny(acceptor.argument, outcome.document) === acceptor.expected;
    case 'pathAll': {
      const found = outcome.kind === 'reply' ? projected(acceptor.argument, outcome.document) : [];
      return found.length > 0 && found.every((value) => value === acceptor.expected);
    }
    case 'pathAny': {
      const found = outcome.kind === 'reply' ? projected(acceptor.argument, outcome.document) : [];
      return found.includes(acceptor.expected);
    }
  }
}

/** `length(Images[]) > \`0\``, the one question that paths of waiters ask. */
function isAny(argument: string, document: DocumentRecord): boolean | null {
  const [, path] = /^length\((.+)\) > `0`$/.exec(argument) ?? [];
  if (path === undefined) throw new TypeError(`a waiter asks for more than a length: ${argument}`);
  if (path.includes('[]')) return projected(path, document).length > 0;
  const value = document[path];
  return typeof value === 'string' ? value !== '' : null;
}

/** What `Reservations[].Instances[].State.Name` finds: each `[]` goes through a list, what is missing is left out. */
function projected(path: string, document: DocumentRecord): readonly Document[] {
  let values: readonly Document[] = [document];
  for (const step of path.split('.')) {
    const name = step.replace(/\[\]$/, '');
    const found = values.flatMap((value) => (isRecord(value) && value[name] !== undefined ? [value[name]] : []));
    values = step.endsWith('[]')
      ? found.flatMap((value) => (Array.isArray(value) ? (value as Document[]) : []))
      : found;
  }
  return values.filter((value) => value !== null);
}

function explanation(acceptor: Acceptor): string {
  switch (acceptor.matcher) {
    case 'path':
      return `For expression "${acceptor.argument}" we matched expected path: "${acceptor.expected ? 'True' : 'False'}"`;
    case 'pathAll':
      return `For expression "${acceptor.argument}" all members matched expected path: "${acceptor.expected}"`;
    case 'pathAny':
      return `For expression "${acceptor.argument}" we matched expected path: "${acceptor.expected}" at least once`;
    case 'status':
      return `Matched expected HTTP status code: ${acceptor.expected}`;
    case 'error':
      return `Matched expected service error code: ${acceptor.expected}`;
  }
}

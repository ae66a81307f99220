/** What a waiter waits for, in words. */
import { commandNameOf } from '#client/arguments/names.ts';
import type { Acceptor, Waiter } from '#client/connection/waiters.ts';

/** HTML of one paragraph. */
export function waiterText(waiter: Waiter): string {
  const conditions = waiter.acceptors.filter(({ state }) => state === 'success').map(conditionText);
  return (
    `<p>Wait until ${conditions.join(' or ')} when polling with <code>${commandNameOf(waiter.operation)}</code>. ` +
    `It will poll every ${waiter.delaySeconds} seconds until a successful state has been reached. ` +
    `This will exit with a return code of 255 after ${waiter.attemptsMax} failed checks.</p>`
  );
}

function conditionText(acceptor: Acceptor): string {
  switch (acceptor.matcher) {
    case 'pathAll':
      return `${queryText(acceptor)} for all elements`;
    case 'pathAny':
      return `${queryText(acceptor)} for any element`;
    case 'path':
      return queryText(acceptor);
    case 'status':
      return `${acceptor.expected} response is received`;
    case 'error':
      return `${acceptor.expected} is thrown`;
  }
}

function queryText(acceptor: { readonly argument: string; readonly expected: string | boolean }): string {
  const query = acceptor.argument.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `JMESPath query ${query} returns ${String(acceptor.expected)}`;
}

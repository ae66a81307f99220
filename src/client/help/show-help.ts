/** `varve help`, `varve ec2 help`, `varve ec2 create-snapshot help`, `varve ec2 wait help`, `varve ec2 wait volume-available help`. */
import { loadModel, type Model } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { commandNameOf } from '#client/arguments/names.ts';
import type { Help, Surroundings } from '#client/command.ts';
import { paginatorOf } from '#client/connection/paginators.ts';
import { waiterNames, waiterOf } from '#client/connection/waiters.ts';
import { loadDocumentation, type CommandExample } from './documentation.ts';
import { examplesOf } from './examples.ts';
import { operationPage } from './operation-page.ts';
import { optionsOf, type HelpOption } from './options.ts';
import type { Page } from './page.ts';
import { pageText } from './page-text.ts';
import { showPaged } from './pager.ts';
import { servicePage, servicesPage, waitersPage } from './service-page.ts';
import { waiterText } from './waiter-text.ts';

/** Writes the page that is asked for: through a pager on a terminal, with bold headings there or with `--color on`. */
export async function showHelp(help: Help, surroundings: Surroundings): Promise<void> {
  const bold = help.color === 'on' || (help.color === 'auto' && surroundings.stdout.isTTY === true);
  await showPaged(pageText(helpPage(help), bold), surroundings);
}

export function helpPage({ service, operation, waiter }: Pick<Help, 'service' | 'operation' | 'waiter'>): Page {
  if (service === null) return servicesPage();
  if (waiter === '') return waitersPage(waiterNames(service));
  if (waiter !== null) return waiterPage(service, waiter);
  if (operation !== null) return pageOfOperation(service, operation);
  return servicePage(referenceOf(service), waiterNames(service).length > 0);
}

function referenceOf(service: ServiceName): { model: Model; documentation: ReturnType<typeof loadDocumentation> } {
  return { model: loadModel(service), documentation: loadDocumentation(service) };
}

function pageOfOperation(service: ServiceName, operation: string): Page {
  const reference = referenceOf(service);
  const { model, documentation } = reference;
  const name = commandNameOf(operation);
  const options = optionsOf({ service, model, operation, waiter: null }, reference);
  return operationPage({
    reference,
    name,
    description: documentation.operations[operation]?.text ?? '',
    options,
    pagedLists: paginatorOf(service, operation)?.resultKeys ?? [],
    examples: pageExamples(service, operation),
    output: model.operations.get(operation)?.output ?? null,
  });
}

/** The examples on the page of an operation. */
export function pageExamples(service: ServiceName, operation: string): readonly CommandExample[] {
  const reference = referenceOf(service);
  const options = optionsOf({ service, model: reference.model, operation, waiter: null }, reference);
  return examplesOf({
    service,
    name: operation,
    command: [service, commandNameOf(operation)],
    documentation: reference.documentation,
    optionOf: optionNames(options),
  });
}

function waiterPage(service: ServiceName, waiter: string): Page {
  const reference = referenceOf(service);
  const polled = waiterOf(service, waiter);
  if (polled === null) throw new RangeError(`${service} has no waiter ${waiter}`);
  const name = commandNameOf(waiter);
  return operationPage({
    reference,
    name,
    description: waiterText(polled),
    options: optionsOf({ service, model: reference.model, operation: polled.operation, waiter }, reference),
    pagedLists: [],
    examples: examplesOf({
      service,
      name: waiter,
      command: [service, 'wait', name],
      documentation: reference.documentation,
      optionOf: () => [],
    }),
    output: null,
  });
}

/** The option of each member that an example may give; the second for what is false. */
function optionNames(options: readonly HelpOption[]): (member: string) => readonly string[] {
  const names = new Map(options.map((option) => [option.memberName, option.names]));
  return (member) => names.get(member) ?? [];
}

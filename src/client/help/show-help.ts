/** `varve help`, `varve ec2 help`, `varve ec2 create-snapshot help`, `varve ec2 wait help`, `varve ec2 wait volume-available help`. */
import { loadModel, structureOf, type Model } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { commandNameOf } from '../arguments/names.ts';
import type { Help, Surroundings } from '../command.ts';
import { paginatorOf } from '../connection/paginators.ts';
import { waiterNames, waiterOf } from '../connection/waiters.ts';
import { loadDocumentation } from './documentation.ts';
import { examplesOf } from './examples.ts';
import { operationPage } from './operation-page.ts';
import { optionsOf } from './options.ts';
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
  return operationPage({
    reference,
    name,
    description: documentation.operations[operation]?.text ?? '',
    options: optionsOf({ ...reference, service, operation }),
    pagedLists: paginatorOf(service, operation)?.resultKeys ?? [],
    examples: examplesOf({
      service,
      name: operation,
      command: [service, name],
      documentation,
      optionOf: optionNames(model, operation),
    }),
    output: model.operations.get(operation)?.output ?? null,
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
    options: optionsOf({ ...reference, service, operation: polled.operation }),
    pagedLists: [],
    examples: examplesOf({
      service,
      name: waiter,
      command: [service, 'wait', name],
      documentation: reference.documentation,
      optionOf: () => null,
    }),
    output: null,
  });
}

/** The option of each member that an example may give. */
function optionNames(model: Model, operation: string): (member: string) => string | null {
  const input = model.operations.get(operation)?.input;
  const members = input === undefined ? new Map() : structureOf(model, input).members;
  return (member) => (members.has(member) ? commandNameOf(member) : null);
}

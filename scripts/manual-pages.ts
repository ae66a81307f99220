/** The manual pages as text, by name; nothing is written. */
import { COMMANDS, type CommandEntry } from '#src/cli/commands.ts';
import { version } from '#src/cli/version.ts';
import { commandNameOf } from '#src/client/arguments/names.ts';
import { waiterNames } from '#src/client/connection/waiters.ts';
import type { Page } from '#src/client/help/page.ts';
import { pageRoff } from '#src/client/help/page-roff.ts';
import { SERVICES } from '#src/client/help/service-summaries.ts';
import { helpPage } from '#src/client/help/show-help.ts';
import { loadModel } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

export async function manualPages(): Promise<ReadonlyMap<string, string>> {
  const pages = new Map<string, Page>([['varve', helpPage({ service: null, operation: null, waiter: null })]]);
  for (const entry of COMMANDS) pages.set(`varve-${entry.name}`, await commandPage(entry));
  for (const service of Object.keys(SERVICES) as ServiceName[]) {
    pages.set(`varve-${service}`, helpPage({ service, operation: null, waiter: null }));
    for (const operation of loadModel(service).operations.keys()) {
      pages.set(`varve-${service}-${commandNameOf(operation)}`, helpPage({ service, operation, waiter: null }));
    }
    const waiters = waiterNames(service);
    if (waiters.length > 0) pages.set(`varve-${service}-wait`, helpPage({ service, operation: null, waiter: '' }));
    for (const waiter of waiters) {
      pages.set(`varve-${service}-wait-${commandNameOf(waiter)}`, helpPage({ service, operation: null, waiter }));
    }
  }
  return new Map([...pages].map(([name, page]) => [name, pageRoff(page, { name, version: version() })]));
}

/** The help of a command stands in its manual page as it is. */
async function commandPage({ name, summary, load }: CommandEntry): Promise<Page> {
  const { usage } = await load();
  const block = { kind: 'verbatim', indent: 0, text: usage.trimEnd(), tight: false } as const;
  return {
    title: name.toUpperCase(),
    summary,
    sections: [
      { heading: 'NAME', blocks: [] },
      { heading: 'DESCRIPTION', blocks: [block] },
    ],
  };
}

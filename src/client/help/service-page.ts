/** The pages that list commands: of everything, of a service, of its waiters. */
import { commandNameOf } from '#client/arguments/names.ts';
import { addHtml, firstSentence } from './html.ts';
import { addGlobalOptions, section } from './operation-page.ts';
import type { Reference } from './member-blocks.ts';
import type { Page } from './page.ts';
import { SERVICES } from './service-summaries.ts';

export function servicesPage(): Page {
  const description =
    'varve SERVICE OPERATION calls an operation of a service of Amazon Web Services, as the AWS command line does: with ' +
    'the same options, output and exit codes. Without configuration it calls the server of Varve on this computer; with ' +
    'credentials, a profile or --endpoint-url, any other.';
  return {
    title: 'VARVE()',
    summary: 'the command line of a block-storage snapshot cloud',
    sections: [
      section('NAME', (blocks) => blocks.text(0, 'varve -')),
      section('DESCRIPTION', (blocks) => blocks.text(0, description)),
      section('SYNOPSIS', (blocks) => {
        blocks.verbatim(3, 'varve [options] <command> <subcommand> [parameters]');
        blocks.text(
          0,
          'Use varve command help for information on a specific command. The synopsis for each command shows its ' +
            'parameters and their usage. Optional parameters are shown in square brackets.',
        );
      }),
      section('GLOBAL OPTIONS', addGlobalOptions),
      section('AVAILABLE SERVICES', (blocks) => {
        for (const [name, summary] of Object.entries(SERVICES)) blocks.bullet(0, `o ${name}: ${summary}`);
      }),
    ],
  };
}

export function servicePage({ model, documentation }: Reference, hasWaiters: boolean): Page {
  const names = [...model.operations.keys()].map(commandNameOf);
  const commands = hasWaiters ? [...names, 'wait'] : names;
  return {
    title: `${model.service.toUpperCase()}()`,
    summary: SERVICES[model.service],
    sections: [
      section('NAME', (blocks) => blocks.text(0, `${model.service} -`)),
      section('DESCRIPTION', (blocks) => addHtml(blocks, 0, documentation.service)),
      section('AVAILABLE COMMANDS', (blocks) => {
        for (const name of [...commands.toSorted(), 'help']) blocks.bullet(0, `o ${name}`);
      }),
    ],
  };
}

export function waitersPage(names: readonly string[]): Page {
  const description =
    'Wait until a particular condition is satisfied. Each subcommand polls an API until the listed requirement is met.';
  return {
    title: 'WAIT()',
    summary: firstSentence(description),
    sections: [
      section('NAME', (blocks) => blocks.text(0, 'wait -')),
      section('DESCRIPTION', (blocks) => blocks.text(0, description)),
      section('AVAILABLE COMMANDS', (blocks) => {
        for (const name of names) blocks.bullet(0, `o ${commandNameOf(name)}`);
      }),
    ],
  };
}

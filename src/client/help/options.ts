/** The options of an operation, with what help says of them. */
import type { ServiceName } from '#wire/aws/operations.ts';
import { structureOf, type Member, type Model } from '#wire/aws/model.ts';
import { commandNameOf } from '../arguments/names.ts';
import { paginatorOf } from '../connection/paginators.ts';
import type { DocumentationFile } from './documentation.ts';
import { textOf, typeName } from './member-blocks.ts';

export interface HelpOption {
  /** With their hyphens; two of a boolean. */
  readonly names: readonly string[];
  readonly type: string;
  readonly isRequired: boolean;
  /** It is a word by itself: where a stream of bytes goes. */
  readonly isPositional: boolean;
  /** HTML. */
  readonly text: string;
  /** What the model knows of its value; null: it is an option of the command line alone. */
  readonly member: Member | null;
}

export interface OptionsOf {
  readonly model: Model;
  readonly documentation: DocumentationFile;
  readonly service: ServiceName;
  readonly operation: string;
}

export function optionsOf({ model, documentation, service, operation }: OptionsOf): readonly HelpOption[] {
  const described = model.operations.get(operation);
  const input = described?.input;
  const paginator = paginatorOf(service, operation);
  const paging = new Set(paginator === null ? [] : [paginator.inputToken, paginator.limitKey]);
  const own: HelpOption[] = [];
  if (input !== undefined) {
    const structure = structureOf(model, input);
    for (const [name, member] of structure.members) {
      if (paging.has(name)) continue;
      const option = commandNameOf(name);
      own.push({
        names: member.type === 'boolean' ? [`--${option}`, `--no-${option}`] : [`--${option}`],
        type: typeName(model, member),
        isRequired: structure.required.has(name),
        isPositional: false,
        text: textOf({ model, documentation }, input, name),
        member,
      });
    }
  }
  if (hasStream(model, described?.output)) return [...own, OUTFILE];
  return [...own, CLI_INPUT_JSON, ...(paginator === null ? [] : pagingOptions(paginator.limitKey)), SKELETON];
}

/** Whether the reply is a stream of bytes, which goes to a file. */
function hasStream(model: Model, output: string | undefined): boolean {
  if (output === undefined) return false;
  return [...structureOf(model, output).members.values()].some(
    (member) => member.in === 'payload' && member.type === 'blob',
  );
}

const ofCommandLine = (name: string, type: string, text: string): HelpOption => ({
  names: [name],
  type,
  isRequired: false,
  isPositional: false,
  text: `<p>${text}</p>`,
  member: null,
});

const OUTFILE: HelpOption = {
  ...ofCommandLine('outfile', 'string', 'Filename where the content will be saved'),
  isRequired: true,
  isPositional: true,
};

const CLI_INPUT_JSON = ofCommandLine(
  '--cli-input-json',
  'string',
  'Performs service operation based on the JSON string provided. The JSON string follows the format provided by ' +
    '<code>--generate-cli-skeleton</code>. If other arguments are provided on the command line, the CLI values will ' +
    'override the JSON-provided values. It is not possible to pass arbitrary binary values using a JSON-provided ' +
    'value as the string will be taken literally.',
);

const SKELETON = ofCommandLine(
  '--generate-cli-skeleton',
  'string',
  'Prints a JSON skeleton to standard output without sending an API request. If provided with no value or the value ' +
    '<code>input</code>, prints a sample input JSON that can be used as an argument for ' +
    '<code>--cli-input-json</code>. If provided with the value <code>output</code>, it validates the command inputs ' +
    'and returns a sample output JSON for that command.',
);

function pagingOptions(limitKey: string | null): readonly HelpOption[] {
  return [
    ofCommandLine(
      '--starting-token',
      'string',
      'Where to begin: the <code>NextToken</code> that a command with <code>--max-items</code> printed.',
    ),
    ...(limitKey === null
      ? []
      : [
          ofCommandLine(
            '--page-size',
            'integer',
            'How many items to ask for with each call. What is printed stays the same: smaller pages take more calls, ' +
              'each of which is answered sooner.',
          ),
        ]),
    ofCommandLine(
      '--max-items',
      'integer',
      'How many items to print at most. Where there are more, a <code>NextToken</code> is printed too, with which ' +
        '<code>--starting-token</code> goes on. The tokens of the service itself are others.',
    ),
  ];
}

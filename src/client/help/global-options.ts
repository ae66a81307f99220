/** The options that every command of a service takes, with what the AWS command line says of them. */

export interface GlobalOptionText {
  readonly name: string;
  readonly type: 'boolean' | 'string' | 'int';
  readonly text: string;
  /** What it may be, where that is a few words. */
  readonly choices: readonly string[];
}

export const GLOBAL_OPTIONS: readonly GlobalOptionText[] = [
  { name: '--debug', type: 'boolean', text: 'Turn on debug logging.', choices: [] },
  {
    name: '--endpoint-url',
    type: 'string',
    text: "Override command's default URL with the given URL.",
    choices: [],
  },
  {
    name: '--no-verify-ssl',
    type: 'boolean',
    text:
      'By default, the AWS CLI uses SSL when communicating with AWS services. For each SSL connection, the AWS CLI ' +
      'will verify SSL certificates. This option overrides the default behavior of verifying SSL certificates.',
    choices: [],
  },
  {
    name: '--no-paginate',
    type: 'boolean',
    text:
      'Disable automatic pagination. If automatic pagination is disabled, the AWS CLI will only make one call, for the ' +
      'first page of results.',
    choices: [],
  },
  {
    name: '--output',
    type: 'string',
    text: 'The formatting style for command output.',
    choices: ['json', 'text', 'table', 'yaml'],
  },
  {
    name: '--query',
    type: 'string',
    text: 'A JMESPath query to use in filtering the response data.',
    choices: [],
  },
  {
    name: '--profile',
    type: 'string',
    text: 'Use a specific profile from your credential file.',
    choices: [],
  },
  {
    name: '--region',
    type: 'string',
    text: 'The region to use. Overrides config/env settings.',
    choices: [],
  },
  { name: '--version', type: 'string', text: 'Display the version of this tool.', choices: [] },
  { name: '--color', type: 'string', text: 'Turn on/off color output.', choices: ['on', 'off', 'auto'] },
  {
    name: '--no-sign-request',
    type: 'boolean',
    text: 'Do not sign requests. Credentials will not be loaded if this argument is provided.',
    choices: [],
  },
  {
    name: '--ca-bundle',
    type: 'string',
    text: 'The CA certificate bundle to use when verifying SSL certificates. Overrides config/env settings.',
    choices: [],
  },
  {
    name: '--cli-read-timeout',
    type: 'int',
    text:
      'The maximum socket read time in seconds. If the value is set to 0, the socket read will be blocking and not ' +
      'timeout. The default value is 60 seconds.',
    choices: [],
  },
  {
    name: '--cli-connect-timeout',
    type: 'int',
    text:
      'The maximum socket connect time in seconds. If the value is set to 0, the socket connect will be blocking and ' +
      'not timeout. The default value is 60 seconds.',
    choices: [],
  },
];

/** Options that stand in a synopsis without a value. */
const FLAGS = new Set(['--debug', '--no-verify-ssl', '--no-paginate', '--no-sign-request']);

export function globalSynopsis(): readonly string[] {
  return GLOBAL_OPTIONS.map(({ name }) => (FLAGS.has(name) ? `[${name}]` : `[${name} <value>]`));
}

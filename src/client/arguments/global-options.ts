/** The options that stand anywhere on the line and that every operation takes. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import type { GlobalOptions, OutputFormat, Print } from '#client/command.ts';
import type { ParsedWords, ParserOption } from './option-parser.ts';
import { repr, wholeNumber, type RawValue } from './raw-value.ts';
import { failure } from '#client/failure.ts';

const FORMATS = ['json', 'text', 'table', 'yaml'] as const satisfies readonly OutputFormat[];
const COLORS = ['on', 'off', 'auto'] as const;

function option(name: string, more: Partial<ParserOption> = {}): ParserOption {
  return { name: `--${name}`, target: name, arity: 'one', required: false, ...more };
}

function flag(name: string): ParserOption {
  return option(name, { arity: 'flag', constant: true });
}

/** In the order of the AWS command line's pages. `v2-debug` only warns of another client's ways, so nothing comes of it. */
export const GLOBAL_OPTIONS: readonly ParserOption[] = [
  flag('debug'),
  option('endpoint-url'),
  flag('no-verify-ssl'),
  flag('no-paginate'),
  option('output', { choices: FORMATS }),
  option('query'),
  option('profile'),
  option('region'),
  { ...flag('version'), ends: true },
  option('color', { choices: COLORS }),
  flag('no-sign-request'),
  option('ca-bundle'),
  option('cli-read-timeout'),
  option('cli-connect-timeout'),
  flag('v2-debug'),
];

/** Throws ClientError where a value is none: of a query, of a URL, of a number of seconds. */
export async function globalsOf({ values }: ParsedWords): Promise<GlobalOptions> {
  const text = (name: string): string | null => textOrNull(values.get(name));
  const query = text('query');
  if (query !== null) await checkQuery(query);
  const endpointUrl = text('endpoint-url');
  if (endpointUrl !== null) checkEndpoint(endpointUrl);
  return {
    debug: values.has('debug'),
    endpointUrl,
    verifySsl: !values.has('no-verify-ssl'),
    paginate: !values.has('no-paginate'),
    output: FORMATS.find((format) => format === text('output')) ?? null,
    query,
    profile: text('profile'),
    region: text('region'),
    color: COLORS.find((when) => when === text('color')) ?? 'auto',
    signRequest: !values.has('no-sign-request'),
    caBundle: text('ca-bundle'),
    cliReadTimeout: secondsOf(text('cli-read-timeout')),
    cliConnectTimeout: secondsOf(text('cli-connect-timeout')),
  };
}

export function versionText(): Print {
  return { kind: 'print', text: `varve/${version()} Node/${process.versions.node} ${process.platform}/${release()}\n` };
}

/** The version in package.json. */
function version(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', '..', 'package.json'), 'utf8');
  const { version: value } = JSON.parse(text) as { readonly version: string };
  return value;
}

async function checkQuery(query: string): Promise<void> {
  const { compileQuery } = await import('#client/output/query.ts');
  compileQuery(query);
}

function checkEndpoint(url: string): void {
  if (/^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(url)) return;
  throw failure(
    `Bad value for --endpoint-url "${url}": scheme is missing.  Must be of the form http://<hostname>/ or https://<hostname>/`,
  );
}

function secondsOf(text: string | null): number | null {
  if (text === null) return null;
  const seconds = wholeNumber(text);
  if (seconds === null) throw failure(`invalid literal for int() with base 10: ${repr(text)}`);
  return Number(seconds);
}

function textOrNull(value: RawValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

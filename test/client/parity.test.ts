/**
 * Every line of parity.json is given to `varve` and to the real `aws`, against one server: standard output, exit code and the
 * first line of standard error must be equal to the byte. differences.json names the lines in which they are not, and why.
 *
 * Strict against version 1 of `aws`. Where there is only version 2, it is configured to print as version 1 does
 * (cli_timestamp_format, cli_binary_format), and its words and codes for what it refuses itself are not compared.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { applyQuery, compileQuery } from '#client/output/query.ts';
import { parseDocument } from '#client/whole-float.ts';
import { runAws } from '../aws/aws-processes.ts';
import { requireTool } from '../clients.ts';
import type { RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { runOurs } from './client.fixture.ts';

interface Parity {
  /** What there is before: made by `varve`; `keep` are JMESPath expressions of replies, for `${name}` in later lines. */
  readonly setUp: readonly { readonly words: string; readonly keep?: Readonly<Record<string, string>> }[];
  /** Lines that change nothing: some run at a time. */
  readonly reads: readonly string[];
  /** Lines that change the same thing to the same each time: one after the other. */
  readonly changes: readonly string[];
}

interface Difference {
  readonly words: string;
  readonly reason: string;
}

const DIFFERENCES_MAX = 5;

/** `aws` is a process for each line, most of it computation; the machines have few processors. */
const CONCURRENCY = 3;

async function readJson(name: string): Promise<unknown> {
  return JSON.parse(await readFile(join(import.meta.dirname, name), 'utf8'));
}

/** Words as a shell makes them, of which single quotes are all that is needed here. */
function wordsOf(line: string, kept: ReadonlyMap<string, string>): readonly string[] {
  const filled = line.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = kept.get(name);
    assert(value !== undefined, `nothing was kept as ${name}`);
    return value;
  });
  return [...filled.matchAll(/(?:'[^']*'|[^\s'])+/g)].map(([word]) => word.replaceAll("'", ''));
}

/** Files that lines name, and a configuration with which version 2 prints what version 1 prints. */
async function filesIn(directory: string, kept: ReadonlyMap<string, string>): Promise<void> {
  const write = async (name: string, text: string): Promise<void> => await writeFile(join(directory, name), text);
  const volumes = [kept.get('volume'), kept.get('volume2')];
  await write('filters.json', '[{"Name": "size", "Values": ["2"]}]\n');
  await write('input.json', JSON.stringify({ VolumeIds: volumes }));
  await write('ids.json', JSON.stringify(volumes));
  await write('config', '[default]\ncli_timestamp_format = wire\ncli_binary_format = raw-in-base64-out\ncli_pager =\n');
}

/** What is compared; version 2 refuses with other codes and words. */
function comparable(result: RunResult, isNewer: boolean): object {
  const firstLine = result.stderr.trimStart().split('\n')[0] ?? '';
  if (!isNewer) return { code: result.code, stdout: result.stdout, firstLine };
  if (result.code === 0 || /^An error occurred|^Waiter/.test(firstLine)) {
    return { isDone: result.code === 0, stdout: result.stdout, firstLine };
  }
  return { isDone: false, stdout: result.stdout };
}

test('varve prints and returns what aws does, line for line', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const { setUp, reads, changes } = (await readJson('parity.json')) as Parity;
  const differences = (await readJson('differences.json')) as readonly Difference[];
  assert(differences.length <= DIFFERENCES_MAX, `${differences.length} known differences`);
  const directory = await mkdtemp(join(tmpdir(), 'varve-parity-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await using server = await RunningServer.start();
  const environment = {
    ...server.environment(),
    AWS_CONFIG_FILE: join(directory, 'config'),
    HOME: directory,
    LC_ALL: 'C.UTF-8',
  };
  const kept = new Map([['dir', directory]]);
  await filesIn(directory, kept);
  const complete = (line: string): readonly string[] => ['--endpoint-url', server.endpoint, ...wordsOf(line, kept)];

  for (const { words, keep } of setUp) {
    const { code, stdout, stderr } = await runOurs(complete(words), environment);
    assert.equal(code, 0, `varve ${words}: ${stderr}`);
    for (const [name, query] of Object.entries(keep ?? {})) {
      const value = applyQuery(compileQuery(query), parseDocument(stdout));
      assert(typeof value === 'string', `${words}: no ${query}`);
      kept.set(name, value);
    }
  }
  await filesIn(directory, kept);

  const isNewer = (await runAws(['--version'], environment)).stdout.startsWith('aws-cli/2');
  const known = new Set(differences.map(({ words }) => words));
  const found: string[] = [];
  const compare = async (line: string): Promise<void> => {
    const words = complete(line);
    const [theirs, ours] = [await runAws(words, environment), await runOurs(words, environment)];
    try {
      assert.deepEqual(comparable(ours, isNewer), comparable(theirs, isNewer));
    } catch (error) {
      if (!known.has(line)) found.push(`${line}\n${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const left = reads.values();
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (const line of left) await compare(line);
    }),
  );
  for (const line of changes) await compare(line);
  assert.equal(found.length, 0, `${found.length} lines differ:\n\n${found.join('\n\n')}`);
});

test('the table is as long as is promised, and has no line twice', async () => {
  const { reads, changes } = (await readJson('parity.json')) as Parity;
  const lines = [...reads, ...changes];
  assert(lines.length >= 150, `${lines.length} lines`);
  assert.equal(new Set(lines).size, lines.length);
  const services = new Set(lines.map((line) => line.split(' ')[0]));
  for (const service of ['dlm', 'ebs', 'ec2', 'iam', 'kms', 'lightsail', 'rbin', 'sts']) {
    assert(services.has(service), service);
  }
});

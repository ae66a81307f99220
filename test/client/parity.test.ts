/**
 * Every line of parity.json is given to `varve` and to the real `aws`, against one server: standard output, exit code and the
 * first line of standard error must be equal to the byte. differences.json names the lines in which they are not, and why.
 *
 * Strict against version 1 of `aws`. Where there is only version 2, it is configured to print as version 1 does
 * (cli_timestamp_format, cli_binary_format), and older-model.ts says what is compared.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { applyQuery, compileQuery } from '#client/output/query.ts';
import { parseDocument } from '#client/whole-float.ts';
import { runAws } from '../aws/aws-processes.ts';
import { requireTool } from '../clients.ts';
import type { RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { runOurs } from './client.fixture.ts';
import { agreesWithOlder } from './older-model.ts';

interface Parity {
  /** What there is before: made by `varve`; `keep` are JMESPath expressions of replies, for `${name}` in later lines. */
  readonly setUp: readonly {
    readonly words: string;
    readonly keep?: Readonly<Record<string, string>>;
    /** A JMESPath expression; the line is given again until it is true of the reply. */
    readonly until?: string;
  }[];
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

const UNTIL_MS = 60_000;

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

function comparable({ code, stdout, stderr }: RunResult): object {
  return { code, stdout, firstLine: stderr.trimStart().split('\n')[0] ?? '' };
}

/** Gives a line of the set-up, again until what it waits for is so, and keeps what later lines name. */
async function prepare(
  { words, keep = {}, until = '`true`' }: Parity['setUp'][number],
  run: (line: string) => Promise<RunResult>,
  kept: Map<string, string>,
): Promise<void> {
  const deadlineMs = systemClock.nowMs() + UNTIL_MS;
  for (;;) {
    const { code, stdout, stderr } = await run(words);
    assert.equal(code, 0, `varve ${words}: ${stderr}`);
    const reply = stdout === '' ? {} : parseDocument(stdout);
    if (applyQuery(compileQuery(until), reply) !== true) {
      assert(systemClock.nowMs() < deadlineMs, `varve ${words}: not ${until}: ${stdout}`);
      await systemClock.sleep(50);
      continue;
    }
    for (const [name, query] of Object.entries(keep)) {
      const value = applyQuery(compileQuery(query), reply);
      assert(typeof value === 'string', `${words}: no ${query}`);
      kept.set(name, value);
    }
    return;
  }
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

  for (const step of setUp) await prepare(step, async (line) => await runOurs(complete(line), environment), kept);
  await filesIn(directory, kept);

  const isVersion2 = (await runAws(['--version'], environment)).stdout.startsWith('aws-cli/2');
  const known = new Set(differences.map(({ words }) => words));
  const found: string[] = [];
  let untoldCount = 0;
  const compare = async (line: string): Promise<void> => {
    if (known.has(line)) return;
    const words = complete(line);
    const [theirs, ours] = [await runAws(words, environment), await runOurs(words, environment)];
    if (isVersion2) {
      const agrees = agreesWithOlder(ours, theirs);
      if (agrees !== false) {
        untoldCount += agrees === null ? 1 : 0;
        return;
      }
    }
    try {
      assert.deepEqual(comparable(ours), comparable(theirs));
    } catch (error) {
      found.push(`${line}\n${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const left = reads.values();
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (const line of left) await compare(line);
    }),
  );
  for (const line of changes) await compare(line);
  t.diagnostic(`of ${reads.length + changes.length} lines, ${untoldCount} cannot be compared with this aws`);
  assert(untoldCount < 40, `${untoldCount} lines cannot be compared`);
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

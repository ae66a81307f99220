import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { loadModel } from '#wire/aws/model.ts';
import type { CommandEntry } from './commands.ts';
import { completionsOf, completionText, shellWords } from './complete.ts';
import { completionScript, SHELLS } from './completion-script.ts';

const VERIFY: CommandEntry = {
  name: 'verify',
  summary: "what is stored: it's read",
  group: 'the store',
  load: async () => ({
    usage: 'usage: varve verify fast|full [FILE]\n\n  --json     as JSON\n  --data DIR  where\n',
    run: async () => {},
  }),
};

const CP: CommandEntry = {
  ...VERIFY,
  name: 'cp',
  load: async () => ({ usage: 'usage: varve cp NAME:PATH... DEST\n\n  -r\n  --data DIR\n', run: async () => {} }),
};

const SNAPSHOT: CommandEntry = {
  ...VERIFY,
  name: 'snapshot',
  load: async () => ({
    usage:
      'usage: varve snapshot create DISK [--name NAME] [--no-wait]\n' +
      '       varve snapshot delete SNAPSHOT… [--dry-run]\n',
    run: async () => {},
  }),
};

/** What a shell would be told, without what each is. */
async function completed(line: string, existing: readonly string[] = []): Promise<readonly string[]> {
  const resourceNames = async (): Promise<readonly string[]> => existing;
  const kindNames = async (kinds: readonly string[]): Promise<readonly string[]> =>
    existing.filter((name) => kinds.includes(name.replace(/-\d+$/, '')));
  const commands = [VERIFY, CP, SNAPSHOT];
  return (await completionsOf({ line, commands, resourceNames, kindNames })).map(({ word }) => word);
}

test('commands and services are completed, and operations behind a service', async () => {
  assert.deepEqual(await completed('varve ver'), ['verify']);
  assert.deepEqual(await completed('varve li'), ['lightsail']);
  assert.deepEqual(await completed('varve ec2 create-snap'), ['create-snapshot', 'create-snapshots']);
  assert.deepEqual(await completed('varve --region eu-west-1 --no-paginate sts get-caller'), ['get-caller-identity']);
  assert.deepEqual(await completed('varve ec2 wait snapshot-'), ['snapshot-completed', 'snapshot-imported']);
  assert.deepEqual(await completed('varve help ver'), ['verify']);
  assert.deepEqual(await completed('varve nonsense '), []);
  const all = await completed('varve ec2 ');
  assert.equal(all.length, loadModel('ec2').operations.size + 2, 'the operations, wait and help');
});

test('options are completed, but those that stand there already', async () => {
  assert.deepEqual(await completed('varve ec2 create-snapshot --vol'), ['--volume-id']);
  assert.deepEqual(await completed('varve ec2 create-snapshot --volume-id vol-1 --vol'), []);
  assert.deepEqual(await completed('varve ec2 create-snapshot --dry-run --no-'), [
    '--no-dry-run',
    '--no-verify-ssl',
    '--no-paginate',
    '--no-sign-request',
  ]);
  assert((await completed('varve ec2 describe-snapshots --')).includes('--max-items'));
  assert((await completed('varve ec2 wait volume-in-use --')).includes('--volume-ids'));
});

test('values are completed from the model', async () => {
  assert.deepEqual(await completed('varve ec2 create-volume --volume-type gp'), ['gp2', 'gp3']);
  assert.deepEqual(await completed('varve --output '), ['json', 'text', 'table', 'yaml']);
  assert.deepEqual(await completed('varve kms create-key --generate-cli-skeleton o'), ['output']);
  assert.deepEqual(await completed('varve ec2 enable-fast-snapshot-restores --availability-zones a --sou'), [
    '--source-snapshot-ids',
  ]);
  const shorthand = 'varve ec2 create-snapshot --tag-specifications ';
  assert.deepEqual(await completed(`${shorthand}R`), ['ResourceType=']);
  assert.deepEqual(await completed(`${shorthand}ResourceType=snap`), ['ResourceType=snapshot']);
  assert.deepEqual(await completed(`${shorthand}ResourceType=snapshot,`), ['ResourceType=snapshot,Tags=']);
  assert.deepEqual(await completed(`${shorthand}'ResourceType=snapshot,Tags=[{K`), []);
});

test('files are completed where a file is wanted', async () => {
  assert.deepEqual(await completed('varve ec2 run-instances --cli-input-json file://a'), [':files file://']);
  assert.deepEqual(await completed('varve kms encrypt --plaintext f'), ['fileb://']);
  assert.deepEqual(await completed('varve ebs put-snapshot-block --block-data '), [':files ']);
  assert.deepEqual(await completed('varve ebs get-snapshot-block --snapshot-id snap-1 a'), [':files ']);
  assert.deepEqual(await completed('varve ec2 describe-volumes --ca-bundle '), [':files ']);
});

test('names of what exists are completed', async () => {
  const names = ['vol-1', 'vol-2'];
  assert.deepEqual(await completed('varve ec2 create-snapshot --volume-id vol-', names), names);
  assert.deepEqual(await completed('varve ec2 describe-volumes --volume-ids vol-1 vol-', names), names);
});

test('a command of its own has its options, verbs and files', async () => {
  assert.deepEqual(await completed('varve verify --'), ['--json', '--data']);
  assert.deepEqual(await completed('varve verify --json --'), ['--data']);
  assert.deepEqual(await completed('varve verify fu'), ['full']);
  assert.deepEqual(await completed('varve verify full '), [':files ']);
});

test('a command of its own has names of what it is for', async () => {
  const names = ['disk-1', 'snapshot-1', 'snapshot-2', 'instance-snapshot-1', 'instance-1'];
  const of = async (line: string): Promise<readonly string[]> => await completed(`varve ${line}`, names);
  assert.deepEqual(await of('snapshot delete '), ['snapshot-1', 'snapshot-2', 'instance-snapshot-1']);
  assert.deepEqual(await of('snapshot delete --dry-run snapshot-1 snap'), ['snapshot-2']);
  assert.deepEqual(await of('snapshot create '), ['disk-1', 'instance-1']);
  assert.deepEqual(await of('snapshot create --no-wait disk-1 '), [':files ']);
  assert.deepEqual(await of('snapshot create --name '), [':files '], 'what is new has no name yet');
  assert.deepEqual(await of('snapshot create --name new d'), ['disk-1']);
  assert.deepEqual(await of('cp '), ['disk-1:/', 'snapshot-1:/', 'snapshot-2:/']);
  assert.deepEqual(await of('cp -r snapshot-1:/etc s'), ['snapshot-1:/', 'snapshot-2:/', ':files ']);
});

test('a line is split as a shell does it', () => {
  assert.deepEqual(shellWords('a "b c" d\\ e'), ['a', 'b c', 'd e']);
  assert.deepEqual(shellWords("a 'b\"c' "), ['a', 'b"c', '']);
  assert.deepEqual(shellWords('a "b c'), ['a', 'b c']);
  assert.deepEqual(shellWords("a ''"), ['a', '']);
  assert.deepEqual(shellWords(''), ['']);
});

test('the answer is a line for each: the word, a tab, what it is', () => {
  assert.equal(
    completionText([
      { word: 'a', summary: 'b c' },
      { word: 'd', summary: '' },
    ]),
    'a\tb c\nd\t\n',
  );
});

const directory = scratchDirectory('completion');

/** What bash offers for a line, whose last word readline has split at `:` and `=`. `answer`: of `varve __complete`. */
async function inBash(line: string, words: readonly string[], answer: string): Promise<readonly string[]> {
  const script = join(directory, 'varve.bash');
  writeFileSync(script, await completionScript('bash', [VERIFY]));
  const program = `
    source "$0"
    varve() { [[ "$1" == __complete ]] && printf '%s' "$ANSWER"; }
    COMP_LINE="$LINE" COMP_POINT=\${#LINE} COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _varve varve
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync('bash', ['--norc', '-c', program, script, ...words], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, LINE: line, ANSWER: answer },
  });
  return output.split('\n').filter((word) => word !== '');
}

test('bash completes what stands in the script, and asks for all else', async () => {
  assert.deepEqual(await inBash('varve l', ['varve', 'l'], 'lost\t\n'), ['lightsail']);
  assert.deepEqual(await inBash('varve ec2 wa', ['varve', 'ec2', 'wa'], 'lost\t\n'), ['wait']);
  assert.deepEqual(await inBash('varve ec2 a --x', ['varve', 'ec2', 'a', '--x'], '--xy\tc d\n'), ['--xy']);
  const words = ['varve', 'ec2', 'a', '--x', 'N', '=', 'v'];
  assert.deepEqual(
    await inBash('varve ec2 a --x N=v', words, 'N=value\t\n'),
    ['value'],
    'readline has the word from =',
  );
});

test('bash completes files behind a prefix', async () => {
  writeFileSync(join(directory, 'input.json'), '{}');
  const words = ['varve', 'ec2', 'a', '--x', 'file', ':', '//inp'];
  assert.deepEqual(await inBash('varve ec2 a --x file://inp', words, ':files file://\t\n'), ['//input.json']);
  assert.deepEqual(await inBash('varve verify inp', ['varve', 'verify', 'inp'], ':files \t\n'), ['input.json']);
});

test('each shell has a script with every service and operation', async () => {
  for (const shell of SHELLS) {
    const script = await completionScript(shell, [VERIFY]);
    for (const name of ['verify', 'create-disk-snapshot', 'list-snapshot-blocks', 'create-lifecycle-policy']) {
      assert(script.includes(name), `${shell} has ${name}`);
    }
  }
});

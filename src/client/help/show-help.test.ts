import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { parseCommand } from '#client/arguments/parse-command.ts';
import type { Help, Surroundings } from '#client/command.ts';
import { waiterNames } from '#client/connection/waiters.ts';
import { loadModel } from '#wire/aws/model.ts';
import { MARGIN, WIDTH, type Page } from './page.ts';
import { pageText } from './page-text.ts';
import { SERVICES } from './service-summaries.ts';
import { helpPage, showHelp } from './show-help.ts';

const services = ['dlm', 'ebs', 'ec2', 'iam', 'kms', 'lightsail', 'rbin', 'sts'] as const;

function around(stdout: PassThrough, environment: Surroundings['environment'] = {}): Surroundings {
  return { environment, home: '/nonexistent', stdout, stderr: new PassThrough(), localServer: async () => null };
}

async function shown(help: Partial<Help>, environment: Surroundings['environment'] = {}): Promise<string> {
  const stdout = new PassThrough();
  const whole = text(stdout);
  await showHelp(
    { kind: 'help', service: null, operation: null, waiter: null, color: 'auto', ...help },
    around(stdout, environment),
  );
  stdout.end();
  return await whole;
}

/** Blanks and line ends do not count. */
function holds(page: string, ...texts: readonly string[]): void {
  const squeezed = page.replace(/\s+/g, '');
  for (const wanted of texts) {
    assert(squeezed.includes(wanted.replace(/\s+/g, '')), `the page lacks: ${wanted}`);
  }
}

function headings(page: string): readonly string[] {
  return [...page.matchAll(/^[A-Z][A-Z ]+$/gm)].map((match) => match[0]);
}

const SECTIONS = ['NAME', 'DESCRIPTION', 'SYNOPSIS', 'OPTIONS', 'GLOBAL OPTIONS', 'EXAMPLES', 'OUTPUT'];

test('the page of create-disk-snapshot has the sections and texts of its reference page', async () => {
  const page = await shown({ service: 'lightsail', operation: 'CreateDiskSnapshot' });
  assert.deepEqual(headings(page), SECTIONS);
  holds(
    page,
    'create-disk-snapshot -',
    'You may remount and use your disk while the snapshot status is pending.',
    'After the snapshot is available, you can create a block storage disk from the snapshot',
    '[--disk-name <value>]\n--disk-snapshot-name <value>\n[--instance-name <value>]\n[--tags <value>]\n[--cli-input-json',
    '--disk-name (string) The unique name of the source disk (e.g., Disk-Virginia-1). NOTE: This parameter cannot be',
    '(structure) Describes a tag key and optional value assigned to an Amazon Lightsail resource.',
    'Shorthand Syntax: key=string,value=string ... JSON Syntax: [ { "key": "string", "value": "string" } ... ]',
    'it validates the command inputs and returns a sample output JSON for that command.',
    'varve lightsail create-disk-snapshot \\ --disk-name Disk-1 \\ --disk-snapshot-name DiskSnapshot-1 Output:',
    'The timestamp when the operation was initialized (e.g., 1479816991.349).',
    'errorDetails -> (string) The error details.',
  );
});

test('the page of create-instance-snapshot has the texts of its reference page', async () => {
  const page = await shown({ service: 'lightsail', operation: 'CreateInstanceSnapshot' });
  assert.deepEqual(headings(page), SECTIONS);
  holds(
    page,
    'Creates a snapshot of a specific virtual private server, or instance. You can use a snapshot to create a new instance',
    '--instance-snapshot-name <value>\n--instance-name <value>\n[--tags <value>]',
    '--cli-read-timeout (int) The maximum socket read time in seconds. If the value is set to 0, the socket read will be',
    'The Amazon Web Services Region name.',
  );
});

test('the page of ec2 create-snapshot has its flags, its values and the nested output', async () => {
  const page = await shown({ service: 'ec2', operation: 'CreateSnapshot' });
  assert.deepEqual(headings(page), SECTIONS);
  holds(
    page,
    '--dry-run | --no-dry-run (boolean) Checks whether you have the required permissions for the action, without actually',
    '--location (string)',
    'Possible values: o local o regional',
    'Tags -> (list) Any tags assigned to the snapshot. (structure) Describes a tag. Key -> (string) The key of the tag.',
    'DataEncryptionKeyId -> (string)',
  );
});

test('a stream of bytes goes to a file, which stands in the synopsis', async () => {
  const page = await shown({ service: 'ebs', operation: 'GetSnapshotBlock' });
  holds(page, '--block-token <value>\n<outfile>\n[--debug]', 'BlockData -> (streaming blob)');
  assert(!page.includes('--cli-input-json'));
});

test('what answers in pages has the options of paging, and not the tokens of the service', async () => {
  const page = await shown({ service: 'ec2', operation: 'DescribeSnapshots' });
  holds(
    page,
    '[--starting-token <value>]\n[--page-size <value>]\n[--max-items <value>]',
    'take its data from Snapshots',
  );
  assert(!page.includes('--next-token'));
});

test('services, operations and waiters are listed', async () => {
  holds(await shown({}), 'AVAILABLE SERVICES', ...services.map((name) => `o ${name}:`));
  const lightsail = await shown({ service: 'lightsail' });
  holds(
    lightsail,
    'Amazon Lightsail is the easiest way to get started',
    'AVAILABLE COMMANDS o allocate-static-ip o attach',
  );
  assert(!lightsail.includes('o wait'), 'Lightsail has no waiters');
  holds(await shown({ service: 'ec2' }), 'o unmonitor-instances o wait');
  holds(await shown({ service: 'ec2', waiter: '' }), 'o snapshot-completed', 'o volume-in-use');
  holds(
    await shown({ service: 'ec2', waiter: 'SnapshotCompleted' }),
    'Wait until JMESPath query Snapshots[].State returns completed for all elements when polling with describe-snapshots. ' +
      'It will poll every 15 seconds until a successful state has been reached.',
    'OUTPUT None',
  );
});

test('every operation and waiter of every service has a page, of bounded width', () => {
  assert.deepEqual(Object.keys(SERVICES).toSorted(), services);
  for (const service of services) {
    for (const operation of loadModel(service).operations.keys()) {
      checkPage(`${service} ${operation}`, helpPage({ service, operation, waiter: null }));
    }
    for (const waiter of waiterNames(service)) {
      checkPage(`${service} ${waiter}`, helpPage({ service, operation: null, waiter }));
    }
  }
});

function checkPage(name: string, page: Page): void {
  const blocks = page.sections.flatMap((section) => section.blocks);
  assert(page.summary !== '', `${name} has a summary`);
  assert(blocks.length > 20, `${name} is more than its headings`);
  for (const block of blocks) {
    const isOdd = /<\/?(?:p|code|a|ul|li|i|b|note|important)\b|&(?:lt|gt|amp|quot);|\{@link/.exec(block.text);
    assert(isOdd === null || block.kind === 'verbatim', `${name}: ${isOdd?.[0]} in ${block.text}`);
    assert(block.indent < WIDTH - MARGIN - 20, `${name} is nested too deeply to be read`);
  }
  const wide = pageText(
    {
      ...page,
      sections: page.sections.map(({ heading, blocks: all }) => ({
        heading,
        blocks: all.filter(({ kind }) => kind !== 'verbatim'),
      })),
    },
    false,
  )
    .split('\n')
    .filter(
      (line) =>
        line.length > WIDTH &&
        line
          .trim()
          .replace(/^(?:o|\d+\.) /, '')
          .includes(' '),
    );
  assert.deepEqual(wide, [], `${name} has lines that are too long`);
}

test('headings are bold where colours are wanted', async () => {
  const page = { service: 'sts', operation: 'GetCallerIdentity' } as const;
  assert((await shown({ ...page, color: 'on' })).includes('\u001B[1mNAME\u001B[0m\n'));
  assert(!(await shown({ ...page, color: 'off' })).includes('\u001B'));
  assert(!(await shown(page)).includes('\u001B'), 'the stream is no terminal');
});

test('words of the command line lead to their page', async () => {
  const help = await parseCommand(['ec2', 'wait', 'volume-available', 'help'], around(new PassThrough()));
  assert(help.kind === 'help');
  holds(await shown(help), 'volume-available -', 'polling with describe-volumes');
});

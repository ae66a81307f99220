import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { loadModel } from '#wire/aws/model.ts';
import { manualPages } from './manual-pages.ts';

let made: Promise<ReadonlyMap<string, string>> | null = null;

/** Made once: it takes a second or two. */
async function pagesMade(): Promise<ReadonlyMap<string, string>> {
  made ??= manualPages();
  return await made;
}

const MACROS = new Set(['.TH', '.SH', '.nh', '.ad', '.br', '.sp', '.RS', '.RE', '.nf', '.fi', '.IP']);

test('every operation has a manual page, of macros that there are and that end', async () => {
  const pages = await pagesMade();
  assert(pages.has('varve') && pages.has('varve-serve') && pages.has('varve-ec2-wait-snapshot-completed'));
  const operations = ['lightsail', 'ec2', 'ebs', 'rbin'] as const;
  const least = operations.reduce((sum, service) => sum + loadModel(service).operations.size, 0);
  assert(pages.size > least);
  for (const [name, text] of pages) {
    const macros = text.split('\n').filter((line) => /^[.']/.test(line));
    const words = macros.map((line) => line.split(' ')[0] ?? '');
    assert.deepEqual(
      words.filter((word) => !MACROS.has(word)),
      [],
      name,
    );
    for (const [opening, closing] of [
      ['.RS', '.RE'],
      ['.nf', '.fi'],
    ] as const) {
      const count = (wanted: string): number => words.filter((word) => word === wanted).length;
      assert.equal(count(opening), count(closing), `${name}: ${opening}`);
    }
    assert.match(text, /\n\.SH NAME\n\S+ \\- \S/, `${name} has a summary for lists of pages`);
    assert(/^[\x20-\x7E\n]*$/.test(text), `${name} is plain ASCII`);
  }
});

const GROFF = '/usr/bin/groff';

test('groff has nothing to say against the pages', async () => {
  // Where there is no groff, nobody reads manual pages.
  if (!existsSync(GROFF)) return;
  const pages = await pagesMade();
  const names = ['varve', 'varve-serve', 'varve-ec2-run-instances', 'varve-kms-create-key', 'varve-iam-create-role'];
  const input = names.map((name) => pages.get(name) ?? '').join('');
  const { stderr, status } = spawnSync(GROFF, ['-man', '-ww', '-z'], { input, encoding: 'utf8' });
  assert.deepEqual({ stderr, status }, { stderr: '', status: 0 });
  const page = pages.get('varve-lightsail-create-disk-snapshot') ?? '';
  const shown = execFileSync(GROFF, ['-man', '-Tascii', '-P-cbou'], { input: page, encoding: 'utf8' });
  assert(
    shown.includes('          [--disk-name <value>]\n          --disk-snapshot-name <value>\n'),
    'the synopsis as it is',
  );
  assert(shown.includes('pattern: \\w[\\w\\-]*\\w'), 'every character as itself');
  assert(shown.includes("'varve help'"));
});

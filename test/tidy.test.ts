import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

/** What the map in docs/architecture.md promises, checked over every file that git knows or would add. */
const root = join(import.meta.dirname, '..');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '');

/** Made of the SDKs' models and texts. */
const GENERATED = /^src\/wire\/aws\/(?:models|docs)\//;
const sources = files.filter(
  (path) => /^(?:src|test|scripts|bin)\/.*\.(?:ts|mjs)$/.test(path) && !GENERATED.test(path),
);

/** Which modules a module may import. `ports`: only the files named in PORTS. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  domain: ['base'],
  wire: ['base'],
  block: ['base', 'domain'],
  // wire: requests to a bucket are signed with what the server verifies with.
  chunk: ['base', 'domain', 'wire'],
  meta: ['base', 'domain'],
  snapshot: ['base', 'domain', 'block', 'chunk'],
  volume: ['base', 'domain', 'wire', 'block', 'chunk', 'snapshot'],
  rescue: ['base', 'domain', 'block', 'chunk', 'snapshot', 'volume'],
  machine: ['base', 'domain'],
  blueprint: ['base', 'domain'],
  control: ['base', 'domain', 'chunk', 'snapshot', 'volume', 'machine', 'meta'],
  api: ['base', 'domain', 'wire', 'control'],
  // The command line of AWS; it knows no server of ours. Files in images and snapshots, read from any device.
  client: ['base', 'wire'],
  files: ['base', 'block'],
};

/** What control may see of the data plane and of the machines. */
const PORTS = new Set(['#volume/host.ts', '#chunk/object-store.ts', '#machine/hypervisor.ts']);

const isTest = (path: string): boolean =>
  /\.(?:test|suite|fake|fixture|fuzz)\.ts$|\.fuzz\.test\.ts$/.test(path) || path.startsWith('test/');

function text(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function importsOf(path: string): readonly string[] {
  return [...text(path).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

function moduleOf(path: string): string | null {
  return /^src\/([a-z-]+)\//.exec(path)?.[1] ?? null;
}

function violations(paths: readonly string[], check: (path: string) => readonly string[]): readonly string[] {
  return paths.flatMap((path) => check(path).map((what) => `${path}: ${what}`));
}

test('imports between modules go only downwards', () => {
  const found = violations(sources, (path) => {
    const module = moduleOf(path);
    const allowed = module === null ? undefined : MAY_IMPORT[module];
    if (allowed === undefined || isTest(path)) return [];
    return importsOf(path).filter((name) => {
      const target = /^#([a-z-]+)\//.exec(name)?.[1];
      if (target === undefined || target === module) return false;
      if (!allowed.includes(target)) return true;
      return module === 'control' && ['volume', 'chunk', 'snapshot', 'machine'].includes(target) && !PORTS.has(name);
    });
  });
  assert.deepEqual(found, []);
});

test('every folder of src is a module that the table of imports knows', () => {
  const unknown = new Set(
    sources.map(moduleOf).filter((module) => module !== null && !(module in MAY_IMPORT) && module !== 'cli'),
  );
  assert.deepEqual([...unknown], []);
});

test('no import climbs out of its folder tree, and one inside a module does not take the long way', () => {
  const found = violations(
    sources.filter((path) => path.startsWith('src/')),
    (path) => importsOf(path).filter((name) => name.includes('../') || name.startsWith(`#${moduleOf(path) ?? '-'}/`)),
  );
  // A face lives in a folder of its own under api/, and reaches what faces share by the module's name.
  assert.deepEqual(
    found.filter(
      (line) => !/^src\/(?:api|wire|control|domain|meta|client)\/[a-z0-9-]+\//.test(line) || line.includes('../'),
    ),
    [],
  );
});

test('production code imports no suite, fake or test', () => {
  const production = sources.filter((path) => path.startsWith('src/') && !isTest(path));
  assert.deepEqual(
    violations(production, (path) => importsOf(path).filter((name) => /\.(?:suite|fake|fixture|test)\.ts$/.test(name))),
    [],
  );
});

test('time and chance come from base alone', () => {
  const production = sources.filter(
    (path) => path.startsWith('src/') && !path.startsWith('src/base/') && !isTest(path),
  );
  const forbidden = /\bDate\.now\(|\bsetTimeout\(|\bsetInterval\(|\bMath\.random\(|\bnew Date\(\)/g;
  assert.deepEqual(
    violations(production, (path) => [...text(path).matchAll(forbidden)].map((match) => match[0])),
    [],
  );
});

test('domain and wire do no input or output', () => {
  const pure = sources.filter((path) => /^src\/(?:domain|wire)\//.test(path) && !isTest(path));
  const found = violations(pure, (path) =>
    importsOf(path).filter((name) => name.startsWith('node:') && !['node:crypto', 'node:buffer'].includes(name)),
  );
  // The service models are data files, read once.
  assert.deepEqual(
    found.filter((line) => !line.startsWith('src/wire/aws/model.ts')),
    [],
  );
});

test('control knows no AWS code or shape', () => {
  const control = sources.filter((path) => /^src\/(?:control|domain)\//.test(path) && !isTest(path));
  const forbidden = /Exception\b|\bInvalid[A-Z]\w*\.\w+|\bDryRun\b/g;
  assert.deepEqual(
    violations(control, (path) => [...text(path).matchAll(forbidden)].map((match) => match[0])),
    [],
  );
});

test('the type system is not switched off', () => {
  const forbidden = /(?:\bas any\b|<any>|@ts-ignore|@ts-nocheck|@ts-expect-error|\bas unknown as\b|\benum\s+\w+\s*\{)/g;
  const production = sources.filter(
    (path) => path.startsWith('src/') && !isTest(path) && path !== 'src/base/crc32c.ts',
  );
  assert.deepEqual(
    violations(production, (path) => [...text(path).matchAll(forbidden)].map((match) => match[0])),
    [],
  );
});

test('no file is a dump or a coordinator that grew', () => {
  const names = violations(sources, (path) =>
    /(?:^|\/)(?:utils?|helpers?|common|managers?|services?|impl|types|misc|index)\.ts$/.test(path)
      ? ['a name that says nothing']
      : [],
  );
  const long = violations(sources, (path) => {
    const lines = text(path).split('\n').length;
    return lines > 600 ? [`${lines} lines`] : [];
  });
  assert.deepEqual([...names, ...long], []);
});

test('nothing is left to do, or leads to a place that only its writer has', () => {
  const readable = files.filter(
    (path) => /\.(?:ts|mjs|md|json|yml)$|^\.ci\//.test(path) && !GENERATED.test(path) && path !== 'test/tidy.test.ts',
  );
  const forbidden = /\b(?:TODO|FIXME|XXX)\b|\/(?:home|Users)\/\w+|registry\.npmjs|"resolved":/g;
  assert.deepEqual(
    violations(readable, (path) => [...text(path).matchAll(forbidden)].map((match) => match[0])),
    [],
  );
});

test('every test runs: none is skipped or marked to be written', () => {
  const tests = sources.filter((path) => isTest(path) && path !== 'test/tidy.test.ts');
  const forbidden =
    /\btest\.(?:skip|todo|only)\b|\b(?:it|describe)\.(?:skip|todo|only)\b|\{\s*(?:skip|todo|only):\s*true/g;
  assert.deepEqual(
    violations(tests, (path) => [...text(path).matchAll(forbidden)].map((match) => match[0])),
    [],
  );
});

test('a file of tests does not wait at its top: the runner would take the tests known so far for all, and clean up', () => {
  const tests = sources.filter((path) => /\.(?:test|suite)\.ts$/.test(path));
  assert.deepEqual(
    violations(tests, (path) => [...text(path).matchAll(/^(?:const .* = )?await .*/gm)].map((match) => match[0])),
    [],
  );
});

test('every link of the documents leads to a file', () => {
  const documents = files.filter((path) => path.endsWith('.md'));
  const found = violations(documents, (path) =>
    [...text(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] ?? '')
      .filter(
        (link) =>
          !files.some(
            (file) =>
              file === join(path, '..', link) ||
              file.startsWith(`${join(path, '..', link)}/`) ||
              `${file}/`.startsWith(join(path, '..', link)),
          ),
      ),
  );
  assert.deepEqual(found, []);
});

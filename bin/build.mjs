// Makes dist/, the programs of an installed package: JavaScript of every module that they reach, the data beside them, and
// a package.json that says what `#…` means there. `npm pack` calls it. Plain JavaScript, see node24.mjs.
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureInstalled, root } from './install.mjs';

const dist = join(root, 'dist');

/** Files that are started or loaded by their path are rewritten here; imports that are relative, by the compiler. */
const STARTED = /new URL\('([^']+)\.ts', import\.meta\.url\)/g;
/** Imports of `#…` keep their names: what they mean is said in dist/package.json. */
const IMPORTED = /(?:from|import)\s*\(?\s*['"]\.[^'"]*\.ts['"]/;

function compile() {
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const result = spawnSync(tsc, ['--project', join(root, 'tsconfig.package.json')], { stdio: ['ignore', 2, 2] });
  if (result.status !== 0) throw new Error('the sources cannot be compiled, see above');
  for (const path of globSync('src/**/*.js', { cwd: dist })) {
    const file = join(dist, path);
    const text = readFileSync(file, 'utf8');
    if (IMPORTED.test(text)) throw new Error(`${path} imports a source`);
    if (STARTED.test(text)) writeFileSync(file, text.replace(STARTED, "new URL('$1.js', import.meta.url)"));
  }
}

function isProgramData(path) {
  return !/\.(ts|cases\.json)$/.test(path);
}

function packageOfPrograms() {
  const { name, version, type, imports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const compiled = Object.fromEntries(Object.entries(imports).map(([key, place]) => [`${key}.ts`, `${place}.js`]));
  return { name, version, type, imports: compiled };
}

ensureInstalled({ development: true });
rmSync(dist, { recursive: true, force: true });
compile();
cpSync(join(root, 'src'), join(dist, 'src'), { recursive: true, filter: isProgramData });
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(packageOfPrograms(), null, 2)}\n`);

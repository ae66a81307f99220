// Brings what a command needs on a fresh checkout: the packages of package-lock.json. Plain JavaScript, see node24.mjs.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Every package of the lock file that is not optional, and not for development unless asked, in the version it names. */
function installed({ development }) {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (path === '' || wanted.optional === true || (wanted.dev === true && !development)) return true;
    const file = join(root, path, 'package.json');
    return existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).version === wanted.version;
  });
}

/** Installs what the lock file names unless everything is there. Its output goes to standard error: standard output belongs to the command. */
export function ensureInstalled({ development }) {
  if (!existsSync(join(root, 'package-lock.json'))) return; // An installed package: npm brought its dependencies.
  if (installed({ development })) return;
  process.stderr.write(`varve: installing packages${development ? ' for development' : ''} …\n`);
  // What is there may be in use by a running server: add to it. `npm ci` would take it away first.
  const verb = existsSync(join(root, 'node_modules')) ? ['install', '--no-save'] : ['ci'];
  const result = spawnSync(
    'npm',
    [...verb, '--no-audit', '--no-fund', '--loglevel=error', ...(development ? [] : ['--omit=dev'])],
    {
      cwd: root,
      stdio: ['ignore', 2, 2],
    },
  );
  if (result.status !== 0) {
    process.stderr.write('varve: npm could not install them; see above.\n');
    process.exit(1);
  }
}

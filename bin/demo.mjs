// `npm run demo`: brings packages and clients, then runs scripts/demo.ts. Plain JavaScript, see node24.mjs.
import { join } from 'node:path';
import { ensureClients } from './clients.mjs';
import { useCompileCache } from './compile-cache.mjs';
import { ensureInstalled, root } from './install.mjs';
import { runNode24 } from './node24.mjs';

ensureInstalled({ development: true });
useCompileCache();
if (process.getuid?.() !== 0) {
  process.stderr.write('The demonstration mounts file systems: run it as root (sudo npm run demo).\n');
  process.exit(1);
}
if (ensureClients({ ceph: process.argv.includes('--s3') }).length > 0) process.exit(1);
process.exitCode = await runNode24([join(root, 'scripts', 'demo.ts'), ...process.argv.slice(2)], { cwd: root });

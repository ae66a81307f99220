// `npm run demo:instance`: brings packages and clients, then runs scripts/demo-instance.ts. Plain JavaScript, see node24.mjs.
import { join } from 'node:path';
import { ensureClients } from './clients.mjs';
import { useCompileCache } from './compile-cache.mjs';
import { ensureInstalled, root } from './install.mjs';
import { runNode24 } from './node24.mjs';

ensureInstalled({ development: true });
useCompileCache();
if (ensureClients({ ceph: false }).length > 0) process.exit(1);
process.exitCode = await runNode24([join(root, 'scripts', 'demo-instance.ts'), ...process.argv.slice(2)], {
  cwd: root,
});

// Takes over the machines in a directory, freezes one, says so, and waits to be killed: what a server may do at any time.
import { assert } from '#base/assert.ts';
import { parseInstanceId } from '#domain/ids.ts';

import { openHypervisor } from './open-hypervisor.ts';

const [scratch = '', instance = ''] = process.argv.slice(2);
const id = parseInstanceId(instance);
assert(id !== null, 'the second argument is an instance');
const hypervisor = await openHypervisor(scratch);
const quiesced = await hypervisor.quiesce(id, { timeoutMs: 600_000 });
process.stdout.write(`${quiesced.consistency} ${quiesced.note ?? ''}\n`);

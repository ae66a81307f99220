import { parseArgs } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { jsonLog } from '#base/log.ts';
import { singleExport } from '#volume/nbd-export.ts';
import { NbdServer } from '#volume/nbd-server.ts';
import { FileDevice } from '../nbd/file-device.ts';

/** The NBD server alone, on a flat file that is there already: `node nbd-target.ts --socket S --file F --size BYTES`. Ends with its standard input. */
const { values } = parseArgs({
  options: { socket: { type: 'string' }, file: { type: 'string' }, size: { type: 'string' } },
});
const { socket: socketPath = '', file: path = '', size = '0' } = values;
const device = new FileDevice({ path, sizeBytes: Number(size), prefilled: true });
const server = new NbdServer({ clock: systemClock, log: jsonLog((line) => process.stderr.write(line)) });
await server.listen({ socketPath, exports: singleExport({ id: 'file', device, description: 'a flat file' }) });
process.stdout.write('ready\n');
process.stdin.resume();
process.stdin.once('end', () => void server.stop());

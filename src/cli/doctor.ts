import { CommandError } from './command-error.ts';
import { counted } from './counted.ts';
import { type Check, examine, type Verdict } from './doctor-checks.ts';
import { printable, tableLines } from './table.ts';
import { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

export const DOCTOR_USAGE = `usage: varve doctor [--data DIR] [--json]

Looks at what the server and its users need on this machine: Node, the tools, devices, the data directory, its disk and
who may read its secrets. It starts nothing and changes nothing.

  ok        it is there
  absent    what needs it does not work; all else does
  WRONG     the server does not run so, or not safely

Exit codes: 0 nothing is wrong, 1 something is, 2 the command line is wrong.
`;

const SHOWN: Readonly<Record<Verdict, string>> = { ok: 'ok', absent: 'absent', wrong: 'WRONG' };

/** `varve doctor`. Throws ConfigError for a wrong command line, CommandError when something is wrong. */
export async function doctorCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('doctor', rest, { data: { type: 'string' }, json: { type: 'boolean' } });
  words.take();
  const checks = examine(servedDirectory({ data: words.text('data') }));
  if (words.flag('json')) process.stdout.write(`${JSON.stringify({ checks }, null, 2)}\n`);
  else for (const line of lines(checks)) process.stdout.write(`${line}\n`);
  const count = checks.filter(({ verdict }) => verdict === 'wrong').length;
  if (count > 0) throw new CommandError(`${counted(count, 'thing')} ${count === 1 ? 'is' : 'are'} wrong`);
}

function lines(checks: readonly Check[]): readonly string[] {
  return tableLines(
    [
      { heading: 'WHAT', cell: ({ name }: Check) => name },
      { heading: '', cell: ({ verdict }) => SHOWN[verdict] },
      { heading: '', cell: ({ detail }) => printable(detail) },
    ],
    checks,
  );
}

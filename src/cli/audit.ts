import { Words } from './words.ts';

export const AUDIT_USAGE = `usage: varve audit [--since TIME] [--until TIME] [--who TEXT] [--operation TEXT] [--resource TEXT]
                   [--refused] [--json] [--data DIR]
       varve audit verify [--anchor SERIES:NUMBER:MAC]... [--json] [--data DIR] [--master-key-file FILE]

Lists the calls that the audit log has, the oldest first, of all its files: what changed something, what was used, what was
refused. It reads files alone; no server need run.

  --since, --until   2026-11-21, 2026-11-21T09:30:00Z, or so long ago: 90min, 36h, 7d
  --who              a part of the principal's ARN, the access key or the address
  --operation        its name, "*" for anything: "Delete*"
  --resource         a part of an ARN: an id, a name
  --refused          only what was refused or failed
  --json             the lines as they are in the files

"verify" checks the chain of every line to the one before, with a key derived from the master key: no line was changed,
put in or taken out. The last lines are compared with what the running server, or else the metadata, say that there were,
and with --anchor: what an earlier verification printed, kept elsewhere.

Exit codes: 0 done, and nothing is wrong; 1 something is; 2 the command line is wrong.
`;

/** `varve audit`. Throws ConfigError for a wrong command line, CommandError when something is wrong. */
export async function auditCommand(rest: readonly string[]): Promise<void> {
  const [verb, ...more] = rest;
  if (verb === 'verify') {
    const words = new Words('audit verify', more, {
      data: { type: 'string' },
      anchor: { type: 'string' },
      json: { type: 'boolean' },
      'master-key-file': { type: 'string' },
      'master-key-command': { type: 'string' },
    });
    words.take();
    await (await import('./audit-verify.ts')).auditVerify(words);
    return;
  }
  const words = new Words('audit', rest, {
    data: { type: 'string' },
    since: { type: 'string' },
    until: { type: 'string' },
    who: { type: 'string' },
    operation: { type: 'string' },
    resource: { type: 'string' },
    refused: { type: 'boolean' },
    json: { type: 'boolean' },
  });
  words.take();
  await (await import('./audit-list.ts')).auditList(words);
}

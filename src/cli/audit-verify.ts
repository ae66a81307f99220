import { join } from 'node:path';

import { type AuditHeads, AUDIT_SERIES, SERIES_NAMES, type SeriesName } from '#api/audit-log.ts';
import type { ChainHead } from '#api/audit-chain.ts';
import { type AuditVerified, verifySeries } from '#api/audit-verify.ts';
import { systemRandom } from '#base/random.ts';
import { openMasterKey } from '#chunk/master-key-source.ts';
import { derive } from '#chunk/seal.ts';
import { AUDIT_PURPOSE, parseAuditHeads } from '#src/audit-place.ts';
import { auditHeadsOffline } from '#src/compose.ts';
import { type Config, readConfig } from '#src/config.ts';

import { askServer, ServerAwayError } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { counted } from './counted.ts';
import { printable } from './table.ts';
import type { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

/** Throws ConfigError for a wrong command line, CommandError when a line is wrong or missing. */
export async function auditVerify(words: Words): Promise<void> {
  const config = readConfig(
    {
      data: servedDirectory({ data: words.text('data') }),
      masterKeyFile: words.text('master-key-file'),
      masterKeyCommand: words.text('master-key-command'),
    },
    process.env,
  );
  const anchor = anchorOf(words);
  const heads = await headsOf(config);
  const { dataDirectory } = config;
  const masterKey = await openMasterKey(config.masterKey, {
    dataDirectory,
    environment: process.env,
    random: systemRandom,
  });
  const key = derive(masterKey, AUDIT_PURPOSE);
  masterKey.fill(0);
  const report: Partial<Record<SeriesName, AuditVerified>> = {};
  let problemCount = 0;
  for (const name of SERIES_NAMES) {
    const { name: file, filesMax } = AUDIT_SERIES[name];
    const expected = [heads[name], anchor?.series === name ? anchor.head : undefined].filter(
      (head) => head !== undefined,
    );
    const verified = await verifySeries({ path: join(dataDirectory, file), key, filesMax, expected });
    report[name] = verified;
    problemCount += verified.problems.length;
    if (!words.flag('json')) for (const line of inWords(name, verified)) process.stdout.write(`${line}\n`);
  }
  if (words.flag('json')) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  if (problemCount > 0) throw new CommandError(`the audit log is not whole: ${counted(problemCount, 'problem')}`);
}

/** The running server knows its last line; without one, the metadata know the last that was kept. */
async function headsOf(config: Config): Promise<AuditHeads> {
  try {
    return parseAuditHeads(await askServer({ data: config.dataDirectory }, 'GET', '/audit'));
  } catch (error) {
    if (!(error instanceof ServerAwayError)) throw error;
    return await auditHeadsOffline(config);
  }
}

function anchorOf(words: Words): { readonly series: SeriesName; readonly head: ChainHead } | null {
  const text = words.text('anchor');
  if (text === undefined) return null;
  const parts = /^(?<series>[a-z]+):(?<sequence>[1-9][0-9]{0,14}):(?<mac>[A-Za-z0-9_-]{22})$/.exec(text)?.groups;
  const series = SERIES_NAMES.find((name) => name === parts?.['series']);
  if (parts === undefined || series === undefined) {
    throw words.wrong(`--anchor is what an earlier verification printed: SERIES:NUMBER:MAC, not "${text}"`);
  }
  return { series, head: { sequence: Number(parts['sequence']), mac: parts['mac'] ?? '' } };
}

function* inWords(name: SeriesName, verified: AuditVerified): Generator<string> {
  const { first, last, problems, unchainedFileCount, lostCount } = verified;
  const what = AUDIT_SERIES[name].name;
  if (first === null || last === null) yield `${what}: no line`;
  else {
    const lines = `${counted(verified.lineCount, 'line')} in ${counted(verified.fileCount, 'file')}`;
    yield `${what}: ${lines}, number ${first.sequence} to ${last.sequence}; anchor ${name}:${last.sequence}:${last.mac}`;
  }
  if (unchainedFileCount > 0)
    yield `  ${counted(unchainedFileCount, 'file')} from before lines were chained, not checked`;
  if (lostCount > 0) yield `  ${counted(lostCount, 'call')} could not be written, as the lines say`;
  for (const { file, line, reason } of problems) {
    yield `  WRONG ${printable(file)}${line === 0 ? '' : `, line ${line}`}: ${reason}`;
  }
}

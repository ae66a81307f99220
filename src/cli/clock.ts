import { count, type Decode, flag, record } from '#volume/host-decode.ts';

import { askServer, otherVersion } from './admin-client.ts';
import { durationWords } from './duration-words.ts';
import { Words } from './words.ts';

export const CLOCK_USAGE = `usage: varve clock [accept] [--data DIR] [--json]

Tells whether the machine's clock jumped. While it differs from the time that really passed, nothing is deleted because
its time is over: no lock ends, no recycle bin is emptied, no key is destroyed, no retention of a policy runs out.
Put the clock right, or wait: a difference is believed after the server has run for a day, or for a tenth of the
difference where that is longer.

  accept   the clock is right now: what its time makes due is done at once

Exit codes: 0 done, 1 no server runs, 2 the command line is wrong.
`;

/** How the wall clock stands to the time that passed, in milliseconds since 1970. */
export interface ClockState {
  readonly wallMs: number;
  readonly estimateMs: number;
  readonly isHeld: boolean;
  readonly believedInMs: number;
}

export const clockState: Decode<ClockState> = record<ClockState>({
  wallMs: count,
  estimateMs: count,
  isHeld: flag,
  believedInMs: count,
});

/** `varve clock`. Throws ConfigError for a wrong command line, CommandError when no server runs. */
export async function clockCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('clock', rest, { data: { type: 'string' }, json: { type: 'boolean' } });
  const [verb] = words.positionals;
  if (verb === undefined) words.take();
  else words.take('the only verb is "accept"');
  if (verb !== undefined && verb !== 'accept') throw words.wrong(`the only verb is "accept", not "${verb}"`);
  const answer = await askServer({ data: words.text('data') }, verb === 'accept' ? 'POST' : 'GET', '/clock');
  let state: ClockState;
  try {
    state = clockState(answer, 'the answer');
  } catch {
    throw otherVersion();
  }
  if (words.flag('json')) process.stdout.write(`${JSON.stringify(state, null, 2)}\n`);
  else for (const line of clockWords(state)) process.stdout.write(`${line}\n`);
}

/** Lines for a person. */
export function clockWords({ wallMs, estimateMs, isHeld, believedInMs }: ClockState): readonly string[] {
  if (!isHeld) return ['the clock is as the time that passed says'];
  const difference = durationWords(Math.abs(wallMs - estimateMs));
  return [
    `it jumped ${wallMs > estimateMs ? 'forward' : 'back'} by ${difference}: it says ${shown(wallMs)}, ${shown(estimateMs)} was expected`,
    'until it is believed, nothing is deleted because its time is over',
    `it is believed once the server has run for ${durationWords(believedInMs)} more; "varve clock accept": it is right`,
  ];
}

function shown(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

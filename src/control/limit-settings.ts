import { type AccountId, parseAccountId } from '#domain/ids.ts';
import { ACCOUNT_LIMITS, type AccountLimits, type LimitSettings } from './limits.ts';

type Settings = { -readonly [L in keyof AccountLimits]?: AccountLimits[L] };

/** Tags are stored and listed by position; AWS has 50. */
const TAG_COUNT_MAX = 1000;

/**
 * Reads JSON: limits by name, and under `accounts` limits of one account each. Throws Error with a sentence for whoever
 * wrote it.
 */
export function parseLimitSettings(text: string): LimitSettings {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error('it is not JSON', { cause: error });
  }
  const { accounts = {}, ...general } = objectOf(json, 'it');
  const ofAccounts = new Map<AccountId, Settings>();
  for (const [id, own] of Object.entries(objectOf(accounts, 'accounts'))) {
    const account = parseAccountId(id);
    if (account === null) throw new Error(`accounts: "${id}" is not an account, which has twelve digits`);
    ofAccounts.set(account, parseLimits(objectOf(own, id)));
  }
  return { general: parseLimits(general), accounts: ofAccounts };
}

function parseLimits(object: Readonly<Record<string, unknown>>): Settings {
  const settings: Settings = {};
  for (const [name, value] of Object.entries(object)) {
    const limit = ACCOUNT_LIMITS.find((known) => known === name);
    if (limit === undefined) throw new Error(`there is no limit "${name}"; there are ${ACCOUNT_LIMITS.join(', ')}`);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw new Error(`${name} is a whole number, 0 or more`);
    }
    if (limit === 'tagCountMax' && value > TAG_COUNT_MAX) throw new Error(`${name} is ${TAG_COUNT_MAX} at most`);
    settings[limit] = value;
  }
  return settings;
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${what} is not an object`);
}

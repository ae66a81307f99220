import { count, type Decode, DecodeError, flag, list, nbdGrant, record, text } from '#volume/host-decode.ts';
import type { NbdAccess, NbdGrant } from '#volume/host.ts';

import { CommandError } from './command-error.ts';

/** What the server answers when it makes a credential. */
export interface AccessReply extends NbdAccess {
  readonly readOnly: boolean;
}

const KEY = /^[0-9a-f]{64}$/;

const access: Decode<AccessReply> = record<AccessReply>({
  grant: nbdGrant,
  key: (value, path) => {
    const key = text(value, path);
    if (!KEY.test(key)) throw new DecodeError(`${path} is not a key of 32 bytes`);
    return key;
  },
  host: text,
  port: count,
  readOnly: flag,
});

/** Throw CommandError for anything else than what is expected. */
export function decodeAccess(reply: unknown): AccessReply {
  return decoded(access, reply);
}

export function decodeGrants(reply: unknown): readonly NbdGrant[] {
  return decoded(record({ grants: list(nbdGrant) }), reply).grants;
}

export function decodeRevoked(reply: unknown): boolean {
  return decoded(record({ revoked: flag }), reply).revoked;
}

function decoded<T>(decode: Decode<T>, reply: unknown): T {
  try {
    return decode(reply, 'the answer');
  } catch (error) {
    throw new CommandError('the server answered something else than was asked for; is it of another version?', {
      cause: error,
    });
  }
}

import { assert } from '#base/assert.ts';
import { parseAccountId, regionName } from '#domain/ids.ts';
import { type Outpost, outpostArn, parseOutpostId } from '#domain/outpost.ts';

/** Outposts of a world: one for all accounts, another one in the same region, one of another region, and one of an account. */
export const TEST_OUTPOSTS: readonly [Outpost, Outpost, Outpost, Outpost] = [
  outpost(1, 'us-east-1', null),
  outpost(2, 'us-east-1', null),
  outpost(3, 'eu-west-1', null),
  outpost(4, 'us-east-1', '210987654321'),
];

function outpost(n: number, region: string, accountText: string | null): Outpost {
  const id = parseOutpostId(`op-${n.toString(16).padStart(17, '0')}`);
  const account = accountText === null ? null : parseAccountId(accountText);
  const owner = account ?? parseAccountId('999999999999');
  assert(id !== null && owner !== null, 'a test names an Outpost by an id');
  const place = regionName(region);
  return { id, arn: outpostArn(place, owner, id), name: `site-${n}`, region: place, zone: `${region}a`, account };
}

/** Paging as aws-cli 1.45 does it at the same pages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call, DocumentRecord, PagingOptions, Reply } from '#client/command.ts';
import { openConnection } from './connection.ts';
import {
  answeringServer,
  callOf,
  hastyClock,
  surroundingsOf,
  type Answer,
  type AnsweringServer,
} from './surroundings.fixture.ts';
import { SeededRandom } from '#base/random.ts';

const environment = { AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'secret', AWS_DEFAULT_REGION: 'us-east-1' };

const page = (names: readonly string[], nextPageToken?: string): Answer => ({
  status: 200,
  body: JSON.stringify({ disks: names.map((name) => ({ name })), nextPageToken }),
});

const threePages = [page(['a', 'b', 'c'], 'p2'), page(['d', 'e'], 'p3é'), page(['f'])];

async function read<T>(
  answers: readonly Answer[],
  call: Call,
  use: (reply: Reply, server: AnsweringServer) => Promise<T>,
): Promise<T> {
  await using server = await answeringServer(answers);
  const surroundings = surroundingsOf('pages', { environment: { ...environment, AWS_ENDPOINT_URL: server.endpoint } });
  const connection = await openConnection(call, surroundings, { clock: hastyClock(), random: new SeededRandom(3) });
  try {
    return await use(await connection.call(call), server);
  } finally {
    connection.close();
  }
}

function names(document: DocumentRecord): string {
  return ((document['disks'] ?? []) as readonly { readonly name: string }[]).map(({ name }) => name).join('');
}

async function disks(
  paging: Partial<PagingOptions>,
  answers: readonly Answer[] = threePages,
): Promise<readonly [string, string | null]> {
  return read(answers, callOf('lightsail', 'GetDisks', {}, { paging }), async (reply) => {
    const whole = await reply.whole();
    assert.equal(whole['NextToken'] ?? null, reply.resumeToken());
    return [names(whole), reply.resumeToken()];
  });
}

const decoded = (token: string | null): string | null =>
  token === null ? null : Buffer.from(token, 'base64').toString();

test('all pages are one document, of the result key alone', async () => {
  await read(threePages, callOf('lightsail', 'GetDisks'), async (reply, server) => {
    assert.equal(reply.paged, true);
    const whole = await reply.whole();
    assert.deepEqual(Object.keys(whole), ['disks']);
    assert.equal(names(whole), 'abcdef');
    assert.deepEqual(
      server.seen.map(({ body }) => body),
      ['{}', '{"pageToken":"p2"}', '{"pageToken":"p3é"}'],
    );
  });
});

test('as pages, each has the result key, null where the service left it out', async () => {
  const answers = [page(['a'], 'p2'), { status: 200, body: '{}' }];
  await read(answers, callOf('lightsail', 'GetDisks'), async (reply) => {
    const seen: DocumentRecord[] = [];
    for await (const one of reply.pages()) seen.push(one);
    assert.deepEqual(seen, [{ disks: [{ name: 'a' }] }, { disks: null }]);
  });
});

test('--max-items stops within a page, or at its end, and says where', async () => {
  for (const [maxItems, wanted, token] of [
    [2, 'ab', '{"pageToken": null, "boto_truncate_amount": 2}'],
    [3, 'abc', '{"pageToken": "p2"}'],
    [4, 'abcd', '{"pageToken": "p2", "boto_truncate_amount": 1}'],
    [5, 'abcde', '{"pageToken": "p3\\u00e9"}'],
    [6, 'abcdef', null],
    [7, 'abcdef', null],
  ] as const) {
    const [found, resume] = await disks({ maxItems });
    assert.deepEqual([found, decoded(resume)], [wanted, token], `--max-items ${maxItems}`);
  }
});

test('the token goes on where it stopped, whatever the number of items at a time', async () => {
  const answersFrom = (token: string | null): readonly Answer[] => {
    const asked =
      token === null ? null : (JSON.parse(decoded(token) ?? '') as { readonly pageToken: string | null }).pageToken;
    return threePages.slice(asked === null ? 0 : asked === 'p2' ? 1 : 2);
  };
  for (const maxItems of [1, 2, 3, 4, 5]) {
    let found = '';
    let token: string | null = null;
    do {
      const [part, next]: readonly [string, string | null] = await disks(
        { maxItems, startingToken: token },
        answersFrom(token),
      );
      assert.ok(part.length <= maxItems);
      found += part;
      token = next;
    } while (token !== null);
    assert.equal(found, 'abcdef', `--max-items ${maxItems}`);
  }
});

test('a token of the service itself, and one with a count, are taken too', async () => {
  const asking = async (startingToken: string): Promise<readonly [string, string | undefined]> =>
    read(
      threePages.slice(1),
      callOf('lightsail', 'GetDisks', {}, { paging: { startingToken } }),
      async (reply, server) => [names(await reply.whole()), server.seen[0]?.body],
    );
  assert.deepEqual(await asking('p2'), ['def', '{"pageToken":"p2"}']);
  assert.deepEqual(await asking('p2___1'), ['ef', '{"pageToken":"p2"}']);
  await assert.rejects(asking('a___b___1'), { message: '\nBad starting token: a___b___1\n', exitCode: 255 });
});

test('a service that gives one token twice is not asked for ever', async () => {
  const answers = [page(['a'], 'same'), page(['b'], 'same')];
  await assert.rejects(
    read(answers, callOf('lightsail', 'GetDisks'), (reply) => reply.whole()),
    { message: "\nError during pagination: The same next token was received twice: {'pageToken': 'same'}\n" },
  );
});

test('--page-size is the limit of each request; a page that says it is the last ends it', async () => {
  const users = (name: string, isTruncated: boolean): Answer => ({
    status: 200,
    body: `<r><ListUsersResult><Users><member><UserName>${name}</UserName></member></Users><IsTruncated>${isTruncated}</IsTruncated><Marker>m</Marker></ListUsersResult></r>`,
  });
  const call = callOf('iam', 'ListUsers', {}, { paging: { pageSize: 1 } });
  await read([users('a', true), users('b', false)], call, async (reply, server) => {
    assert.deepEqual(await reply.whole(), { Users: [{ UserName: 'a' }, { UserName: 'b' }] });
    assert.deepEqual(
      server.seen.map(({ body }) => body),
      ['Action=ListUsers&Version=2010-05-08&MaxItems=1', 'Action=ListUsers&Version=2010-05-08&MaxItems=1&Marker=m'],
    );
  });
});

test('lists beside the first are printed whole once', async () => {
  const entities = `<r><ListEntitiesForPolicyResult><PolicyGroups/><PolicyUsers><member><UserName>u</UserName></member></PolicyUsers><PolicyRoles><member><RoleName>r</RoleName></member></PolicyRoles><IsTruncated>false</IsTruncated></ListEntitiesForPolicyResult></r>`;
  const call = callOf('iam', 'ListEntitiesForPolicy', { PolicyArn: 'a' }, { paging: { startingToken: 'm' } });
  await read([{ status: 200, body: entities }], call, async (reply) => {
    assert.deepEqual(await reply.whole(), { PolicyGroups: [], PolicyUsers: [], PolicyRoles: [] });
  });
});

test('--no-paginate asks once and shows the reply as it is', async () => {
  const call = callOf('lightsail', 'GetDisks', {}, { globals: { paginate: false } });
  await read(threePages, call, async (reply, server) => {
    assert.equal(reply.paged, false);
    assert.equal((await reply.whole())['nextPageToken'], 'p2');
    assert.equal(server.seen.length, 1);
  });
});

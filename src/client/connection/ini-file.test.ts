/** What botocore 1.43 makes of the same texts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IniError, nestedOf, parseIni } from './ini-file.ts';

function read(text: string): Readonly<Record<string, Readonly<Record<string, string>>>> {
  return Object.fromEntries([...parseIni(text)].map(([name, section]) => [name, Object.fromEntries(section)]));
}

test('a value keeps what looks like a comment; a line that begins like one is one', () => {
  assert.deepEqual(read('[default]\nregion = us-west-2   ; comment\nkey: D #not a comment?\n# one\n; two\n'), {
    default: { region: 'us-west-2   ; comment', key: 'D #not a comment?' },
  });
});

test('names of settings have no case, names of sections do; the first = or : parts them', () => {
  assert.deepEqual(read('[Profile A]\nAWS_Access_Key_ID=a=b:c\nurl : http://x:1/\n'), {
    'Profile A': { aws_access_key_id: 'a=b:c', url: 'http://x:1/' },
  });
});

test('deeper lines continue a value, and hold settings of their own when the value begins with them', () => {
  const sections = read('[services s]\nec2 =\n  endpoint_url = http://a\n\n  other= b \nplain = one\n   two\n[next]\n');
  assert.equal(sections['services s']?.['plain'], 'one\ntwo');
  const nested = nestedOf(sections['services s']?.['ec2'] ?? '');
  assert.deepEqual(
    [...(nested ?? [])],
    [
      ['endpoint_url', 'http://a'],
      ['other', 'b'],
    ],
  );
  assert.equal(nestedOf('one\ntwo'), null);
  assert.deepEqual(sections['next'], {});
});

test('an empty value is one', () => {
  assert.deepEqual(read('[a]\nx =\ny = 1\r\n'), { a: { x: '', y: '1' } });
});

for (const [what, text] of [
  ['a setting before any section', 'a = b\n'],
  ['a line without = or :', '[a]\nword\n'],
  ['a section that comes twice', '[a]\n[a]\n'],
  ['a setting that comes twice, in whatever case', '[a]\nx = 1\nX = 2\n'],
] as const) {
  test(`${what} is refused`, () => {
    assert.throws(() => parseIni(text), IniError);
  });
}

/** XML of replies, and what is none; positions are those of expat. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xmlOf } from './decode-reply.ts';
import { parseXml } from './xml-document.ts';

test('text has its references undone, and one kind of line end', () => {
  const { text } = parseXml('<a>&lt;&#233;&#x1F600;&amp;amp;\r\n&#13;<!-- & --><![CDATA[&lt;]]></a>');
  assert.equal(text, '<é😀&amp;\n\r&lt;');
});

test('what is not well formed is told with its place', () => {
  const wrong: readonly (readonly [string, string])[] = [
    ['<a>\n<b>x & y</b></a>', 'not well-formed (invalid token): line 2, column 6'],
    ['<a>&lt</a>', 'not well-formed (invalid token): line 1, column 6'],
    ['<a>x&nbsp;</a>', 'undefined entity: line 1, column 4'],
    ['<a>&#x110000;</a>', 'reference to invalid character number: line 1, column 3'],
    ['<a></b>', 'mismatched tag: line 1, column 5'],
    ['', 'no element found: line 1, column 0'],
  ];
  for (const [source, message] of wrong) assert.throws(() => parseXml(source), { message }, source);
});

test('a page of HTML may name its document type; one that declares entities is refused', () => {
  assert.equal(parseXml('<!DOCTYPE html><html/>').name, 'html');
  const bomb = '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]><a>&d;</a>';
  assert.throws(() => parseXml(bomb), /declarations of a document type are not taken/);
});

test('bytes that are no UTF-8 are no reply', () => {
  assert.throws(() => xmlOf(Buffer.from('<a>\xff</a>', 'latin1')), {
    message:
      "\nUnable to parse response (not well-formed (invalid token): line 1, column 3), invalid XML received. Further retries may succeed:\nb'<a>\\xff</a>'\n",
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addHtml, firstSentence } from './html.ts';
import { Blocks } from './page.ts';

/** Each block as its kind, its columns, and its text. */
function blocksOf(html: string): readonly string[] {
  const blocks = new Blocks();
  addHtml(blocks, 1, html);
  return blocks.blocks.map(({ kind, indent, text, tight }) => `${kind} ${indent}${tight ? ' tight' : ''}: ${text}`);
}

test('paragraphs are blocks, and marks within them are text', () => {
  assert.deepEqual(blocksOf('<p>The <code>name</code> of<i>a</i> disk.</p> <p>And <a href="https://x">more</a>.</p>'), [
    'text 3: The name of a disk.',
    'text 3: And more.',
  ]);
});

test('lists nest, and what follows in an item stands below its text', () => {
  assert.deepEqual(blocksOf('<p>One:</p><ul><li><p>a</p><p>b</p><ul><li>c</li></ul></li><li>d</li></ul><p>End</p>'), [
    'text 3: One:',
    'bullet 3: o a',
    'text 5: b',
    'bullet 5: o c',
    'bullet 3: o d',
    'text 3: End',
  ]);
  assert.deepEqual(blocksOf('<ol><li>a</li><li>b</li></ol>'), ['bullet 3: 1. a', 'bullet 3: 2. b']);
});

test('a note is named, and stands deeper', () => {
  assert.deepEqual(blocksOf('<p>a</p><note><p>b</p><p>c</p></note><important><p>d</p></important><p>e</p>'), [
    'text 3: a',
    'term 3: NOTE:',
    'text 7 tight: b',
    'text 7: c',
    'term 3: WARNING:',
    'text 7 tight: d',
    'text 3: e',
  ]);
});

test('entities are decoded once, and what is no mark stays', () => {
  assert.deepEqual(blocksOf('<p>1 &lt; 2 &amp;amp; &#x41;&#66; <region>-<name> &unknown;</p>'), [
    'text 3: 1 < 2 &amp; AB <region>-<name> &unknown;',
  ]);
});

test('marks that end too soon or never do no harm', () => {
  assert.deepEqual(blocksOf('</li></ul></note><p>a'), ['text 3: a']);
  assert.deepEqual(blocksOf('<ul><li>a<ul><li>b'), ['bullet 3: o a', 'bullet 5: o b']);
  assert.deepEqual(blocksOf('<fullname>Name</fullname><p>a</p>'), ['text 3: a']);
});

test('a summary is the first sentence', () => {
  assert.equal(
    firstSentence('<fullname>X</fullname><p>Makes a disk (e.g. <code>x</code>). More.</p>'),
    'Makes a disk (e.g. x)',
  );
  assert.equal(firstSentence('<p>No full stop</p>'), 'No full stop');
});

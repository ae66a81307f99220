import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsoleText } from './console-text.ts';

function shown(text: string): string {
  const console = new ConsoleText();
  return console.write(Buffer.from(text)) + console.end();
}

test('text, new lines and colours of a guest are shown; what steers a terminal is not', () => {
  assert.equal(shown('a\r\nb\tc\u001B[1;31mred\u001B[0m é\n'), 'a\nb\tc\u001B[1;31mred\u001B[0m é\n');
  assert.equal(shown('\u001B[2J\u001B[H\u001B[?25lx\u001B[6n\u001B[3~y'), 'xy', 'screen, cursor, questions');
  assert.equal(shown('\u001B]0;title\u0007a\u001B]52;c;ZXZpbA==\u001B\\b'), 'ab', 'title, clipboard');
  assert.equal(shown('\u001BcA\u001B(0B\u001BP+q\u001B\\C'), 'ABC', 'reset, character set, a device string');
  assert.equal(shown('secret\rshown\b\u009B2J\u202E'), 'secret\nshown\uFFFD\uFFFD2J\uFFFD');
  assert.equal(shown('\u001B]0;never ended\nnext'), '\uFFFD]0;never ended\nnext');
});

test('an escape that comes in two parts is looked at as one, wherever it is cut', () => {
  const text = Buffer.from('a\u001B[1;31mé\u001B]0;title\u0007\u001B[2J\r\n\u001Bcb');
  for (let at = 0; at <= text.length; at += 1) {
    const console = new ConsoleText();
    const all = console.write(text.subarray(0, at)) + console.write(text.subarray(at)) + console.end();
    assert.equal(all, 'a\u001B[1;31mé\nb', `cut at ${at}`);
  }
});

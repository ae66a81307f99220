/** The words of a command as a POSIX shell parts them: quotes and backslashes, nothing else. Null: a quote is not closed. */
export function shellWords(text: string): readonly string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] ?? '';
    if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
      continue;
    }
    word ??= '';
    if (character === '\\') {
      index += 1;
      if (index === text.length) return null;
      word += text[index];
    } else if (character === "'" || character === '"') {
      const quoted = quotedText(text, index);
      if (quoted === null) return null;
      word += quoted.value;
      index = quoted.end;
    } else word += character;
  }
  return word === null ? words : [...words, word];
}

/** What stands between the quote at `start` and its end. */
function quotedText(text: string, start: number): { readonly value: string; readonly end: number } | null {
  const quote = text[start];
  let value = '';
  for (let index = start + 1; index < text.length; index += 1) {
    const character = text[index] ?? '';
    if (character === quote) return { value, end: index };
    const next = text[index + 1] ?? '';
    if (quote === '"' && character === '\\' && (next === '"' || next === '\\')) {
      value += next;
      index += 1;
    } else value += character;
  }
  return null;
}

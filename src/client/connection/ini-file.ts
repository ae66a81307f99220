/**
 * The files of settings that the AWS tools share, read as botocore (Python's configparser) reads them: `name = value` or
 * `name: value` below `[section]`; a line that is indented deeper continues the value above; `#` and `;` begin a comment at
 * the start of a line alone, so that a value keeps its ` # …`.
 */

/** Settings by their lower-cased names. A value that begins with a line end holds settings of its own: `nestedOf`. */
export type IniSection = ReadonlyMap<string, string>;

/** What the file says cannot be understood. */
export class IniError extends Error {
  override readonly name = 'IniError';
}

/** The sections by their names, as they stand between the brackets. Throws IniError. */
export function parseIni(text: string): ReadonlyMap<string, IniSection> {
  const parser = new IniParser();
  for (const line of text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)) parser.line(line);
  return parser.sections();
}

/** The settings within a value: `s3 =` and deeper lines below it. Null: the value is an ordinary one. Throws IniError. */
export function nestedOf(value: string): IniSection | null {
  if (!value.startsWith('\n')) return null;
  const nested = new Map<string, string>();
  for (const line of value.split('\n')) {
    const text = line.trim();
    if (text === '') continue;
    const mark = text.indexOf('=');
    if (mark === -1) throw new IniError(`${text} is no setting`);
    nested.set(text.slice(0, mark).trim(), text.slice(mark + 1).trim());
  }
  return nested;
}

class IniParser {
  readonly #sections = new Map<string, Map<string, string[]>>();
  #section: Map<string, string[]> | null = null;
  #value: string[] | null = null;
  #indent = 0;

  line(line: string): void {
    const text = line.trim();
    if (text === '' || text.startsWith('#') || text.startsWith(';')) {
      // An empty line belongs to the value, as Python has it; the end of a value loses it again.
      if (text === '') this.#value?.push('');
      return;
    }
    const indent = line.length - line.trimStart().length;
    if (this.#value !== null && indent > this.#indent) {
      this.#value.push(text);
      return;
    }
    this.#indent = indent;
    const header = /^\[(.+)\]/.exec(text)?.[1];
    if (header === undefined) this.#setting(text);
    else this.#begin(header);
  }

  sections(): ReadonlyMap<string, IniSection> {
    const whole = (lines: readonly string[]): string => lines.join('\n').trimEnd();
    return new Map(
      [...this.#sections].map(([name, settings]) => [
        name,
        new Map([...settings].map(([key, lines]) => [key, whole(lines)])),
      ]),
    );
  }

  #begin(name: string): void {
    if (this.#sections.has(name)) throw new IniError(`the section ${name} comes twice`);
    this.#section = new Map();
    this.#sections.set(name, this.#section);
    this.#value = null;
  }

  #setting(text: string): void {
    if (this.#section === null) throw new IniError('a setting stands before the first section');
    const [, name = '', value = ''] = /^(.*?)\s*[=:]\s*(.*)$/.exec(text) ?? [];
    if (name === '') throw new IniError(`${text} is no setting`);
    const key = name.toLowerCase();
    if (this.#section.has(key)) throw new IniError(`${key} comes twice`);
    this.#value = [value];
    this.#section.set(key, this.#value);
  }
}

import { parseArgs } from 'node:util';

import { ConfigError } from '#src/config.ts';

import { nearest } from './nearest.ts';

/** What a command takes: each option once, with a text behind it or none. */
export type Options = Readonly<Record<string, { readonly type: 'string' | 'boolean' }>>;

/** The words after a command, sorted into options and the rest. */
export class Words {
  readonly positionals: readonly string[];
  readonly #command: string;
  readonly #values = new Map<string, string | true>();

  /** Throws ConfigError (exit code 2) for an option that is not among `options`, that lacks its value, or that is given twice with two values. */
  constructor(command: string, words: readonly string[], options: Options) {
    this.#command = command;
    const { tokens, positionals } = parseArgs({
      args: [...words],
      options: { ...options },
      allowPositionals: true,
      strict: false,
      tokens: true,
    });
    this.positionals = positionals;
    for (const token of tokens) {
      if (token.kind !== 'option') continue;
      const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
      if (option === undefined) throw this.#unknown(token.rawName, options);
      this.#set(token.name, this.#valueOf(token, option.type));
    }
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return typeof value === 'string' ? value : undefined;
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }

  /** Exactly these, in this order; `missing` says of each what it is. */
  take<const N extends readonly string[]>(...missing: N): { readonly [K in keyof N]: string } {
    const extra = this.positionals.slice(missing.length);
    if (extra.length > 0) throw this.wrong(`unexpected "${extra.join(' ')}"`);
    return missing.map((what, index) => this.#at(index, what)) as { readonly [K in keyof N]: string };
  }

  /** One of these; undefined when it is not given. */
  choice<const C extends readonly string[]>(name: string, choices: C): C[number] | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.wrong(`--${name} is one of ${choices.join(', ')}, not "${value}"`);
    return found;
  }

  /** The error of a wrong command line. */
  wrong(message: string): ConfigError {
    return new ConfigError(`${this.#command}: ${message}`);
  }

  #at(index: number, what: string): string {
    const value = this.positionals[index];
    if (value === undefined || value === '') throw this.wrong(what);
    return value;
  }

  #valueOf(
    token: { readonly name: string; readonly value?: string | undefined; readonly inlineValue?: boolean | undefined },
    type: 'string' | 'boolean',
  ): string | true {
    const { name, value } = token;
    if (type === 'boolean') {
      if (value !== undefined) throw this.wrong(`--${name} takes no value`);
      return true;
    }
    // What begins with a dash is the next option, unless it is tied to this one by "=".
    const isNext = value !== undefined && token.inlineValue !== true && value.startsWith('-') && value !== '-';
    if (value === undefined || isNext) throw this.wrong(`--${name}: its value is missing`);
    return value;
  }

  #set(name: string, value: string | true): void {
    const earlier = this.#values.get(name);
    if (earlier !== undefined && earlier !== value) {
      throw this.wrong(`--${name} is given twice: "${earlier}" and "${value}"`);
    }
    this.#values.set(name, value);
  }

  #unknown(rawName: string, options: Options): ConfigError {
    const name = nearest(rawName.replace(/^-+/, ''), Object.keys(options));
    return this.wrong(`there is no option ${rawName}${name === null ? '' : `; is --${name} meant?`}`);
  }
}

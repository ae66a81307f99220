import { parseArgs } from 'node:util';

import { describeError } from '#base/log.ts';
import { ConfigError } from '#src/config.ts';

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

/** The words after a command, sorted into options and the rest. */
export class Words {
  readonly positionals: readonly string[];
  readonly #command: string;
  readonly #values: Readonly<Record<string, unknown>>;

  /** Throws ConfigError (exit code 2) for an option that is not among `options`. */
  constructor(command: string, words: readonly string[], options: Options) {
    this.#command = command;
    try {
      const parsed = parseArgs({ args: [...words], options, allowPositionals: true, strict: true });
      this.positionals = parsed.positionals;
      this.#values = parsed.values;
    } catch (error) {
      throw new ConfigError(`${command}: ${describeError(error)}`, { cause: error });
    }
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
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
}

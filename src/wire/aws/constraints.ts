/** What a request violates, collected while it is decoded, in AWS's wording: "2 validation errors detected: …". */
import type { Member, Model } from './model.ts';
import { WireError, type WireErrorKind } from './wire-error.ts';

interface Violation {
  readonly kind: WireErrorKind;
  readonly path: string;
  readonly reason: string;
}

/** More are counted and not told: a list of thousands must not become a message of megabytes. */
const VIOLATIONS_TOLD_MAX = 10;
const VALUE_CHARACTERS_TOLD_MAX = 256;

export class Violations {
  readonly #model: Model;
  readonly #enums: boolean;
  readonly #found: Violation[] = [];
  #count = 0;

  /** `enums`: whether a text must be one of its enumeration. */
  constructor(model: Model, options: { readonly enums: boolean }) {
    this.#model = model;
    this.#enums = options.enums;
  }

  /** A required member is absent. */
  missing(path: string): void {
    this.#add('missing', path, `Value null at '${path}' failed to satisfy constraint: Member must not be null`);
  }

  /** Checks a decoded value against the constraints of its member. */
  check(member: Member, value: string | number | readonly unknown[], path: string, sensitive = false): void {
    const hidden = sensitive || member.sensitive === true;
    const fail = (constraint: string): void => {
      this.#add(
        'invalid',
        path,
        `Value${hidden ? '' : ` ${quoted(value)}`} at '${path}' failed to satisfy constraint: ${constraint}`,
      );
    };
    if (typeof value === 'string') this.#checkString(member, value, fail);
    else if (typeof value === 'number') checkNumber(member, value, fail);
    else checkLength(member, value.length, fail);
  }

  /** Throws one WireError for all that was found. */
  throwIfAny(): void {
    const first = this.#found[0];
    if (first === undefined) return;
    const noun = this.#count === 1 ? 'error' : 'errors';
    const reasons = this.#found.map(({ reason }) => reason).join('; ');
    throw new WireError(first.kind, first.path, `${this.#count} validation ${noun} detected: ${reasons}`);
  }

  #checkString(member: Member, value: string, fail: (constraint: string) => void): void {
    checkLength(member, value.length, fail);
    if (member.pattern !== undefined && !matches(member.pattern, value)) {
      fail(`Member must satisfy regular expression pattern: ${member.pattern}`);
    }
    if (member.enum === undefined || !this.#enums) return;
    const values = this.#model.enums.get(member.enum);
    if (values !== undefined && !values.has(value)) {
      fail(`Member must satisfy enum value set: [${[...values].join(', ')}]`);
    }
  }

  #add(kind: WireErrorKind, path: string, reason: string): void {
    this.#count += 1;
    if (this.#found.length < VIOLATIONS_TOLD_MAX) this.#found.push({ kind, path, reason });
  }
}

function checkLength(member: Member, length: number, fail: (constraint: string) => void): void {
  if (member.min !== undefined && length < member.min) {
    fail(`Member must have length greater than or equal to ${member.min}`);
  }
  if (member.max !== undefined && length > member.max)
    fail(`Member must have length less than or equal to ${member.max}`);
}

function checkNumber(member: Member, value: number, fail: (constraint: string) => void): void {
  if (member.min !== undefined && value < member.min) {
    fail(`Member must have value greater than or equal to ${member.min}`);
  }
  if (member.max !== undefined && value > member.max)
    fail(`Member must have value less than or equal to ${member.max}`);
}

function quoted(value: string | number | readonly unknown[]): string {
  const text = Array.isArray(value) ? `[${value.length} items]` : String(value);
  return `'${text.length > VALUE_CHARACTERS_TOLD_MAX ? `${text.slice(0, VALUE_CHARACTERS_TOLD_MAX)}…` : text}'`;
}

/** No value with a pattern may be longer, and a pattern of the reference pages may take quadratic time. */
const PATTERN_CHARACTERS_MAX = 2048;

function matches(pattern: string, value: string): boolean {
  return value.length <= PATTERN_CHARACTERS_MAX && patternOf(pattern).test(value);
}

const patterns = new Map<string, RegExp>();

/** A pattern of the model, made to hold for the whole value. The patterns are ours, so the cache is bounded. */
function patternOf(source: string): RegExp {
  const known = patterns.get(source);
  if (known !== undefined) return known;
  const compiled = new RegExp(`^(?:${source})$`);
  patterns.set(source, compiled);
  return compiled;
}

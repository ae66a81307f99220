/** Values of a model's shapes, made up from a seed, for tests. */
import type { SeededRandom } from '#base/random.ts';
import { shapeOf, structureOf, type Member, type Model } from './model.ts';

const texts = [
  'plain',
  'two words',
  'a&b<c>"d\'e',
  'naïve ☃ 🜁',
  'a+b/c=d%20',
  'x.y.1',
  'line\nbreak',
  '0',
  'false',
  'null',
];
const headerTexts = ['plain', 'two words', 'a&b<c>"d', 'a+b/c=d%20', '0'];

/** Values that satisfy the patterns of the model. */
const samples: readonly string[] = [
  'disk-1',
  'us-east-2a',
  'arn:aws:lightsail:us-east-2:012345678901:Disk/aaaa-bbbb',
  'snap-1234567890abcdef0',
  'AAABAQ+/abc=',
  'arn:aws:kms:us-east-1:012345678901:key/abcd',
  'abcdefghijk',
  'arn:aws:rbin:us-east-1:012345678901:rule/abcdefghijk',
  'arn:aws:iam::012345678901:role/keeper',
  'policy-0123456789abcdef0',
];

export interface SampleOptions {
  readonly random: SeededRandom;
  /** 0: required members alone; 1: every member. */
  readonly density: number;
}

export class SampleValues {
  readonly #model: Model;
  readonly #random: SeededRandom;
  readonly #density: number;

  constructor(model: Model, { random, density }: SampleOptions) {
    this.#model = model;
    this.#random = random;
    this.#density = density;
  }

  /** A structure with all its required members. Nests at most six deep, so that a structure that contains itself ends. */
  structure(name: string, depth = 0): Record<string, unknown> {
    const shape = structureOf(this.#model, name);
    const value: Record<string, unknown> = {};
    for (const [memberName, member] of shape.members) {
      // Clients fill in tokens that are absent.
      const wanted = shape.required.has(memberName) || member.token === true || member.in === 'payload';
      if (wanted || (depth < 6 && this.#random.fraction() < this.#density)) {
        value[memberName] = this.#member(member, depth + 1);
      }
    }
    // A form cannot say that a structure is there and empty.
    const [first] = shape.members;
    if (depth > 0 && first !== undefined && Object.keys(value).length === 0) {
      value[first[0]] = this.#member(first[1], depth + 1);
    }
    return value;
  }

  #member(member: Member, depth: number): unknown {
    switch (member.type) {
      case 'string':
        return this.#text(member);
      case 'boolean':
        return this.#random.below(2) === 1;
      case 'timestamp':
        return new Date(1_569_625_129_739 + this.#random.below(2 ** 31) * (member.in === 'header' ? 1000 : 1));
      case 'blob':
        return new Uint8Array(this.#random.bytes(1 + this.#random.below(40)));
      case 'integer':
      case 'long':
      case 'float':
      case 'double':
        return this.#number(member);
      default:
        return this.#aggregate(member, depth);
    }
  }

  #aggregate(member: Member, depth: number): unknown {
    const shape = shapeOf(this.#model, member.type);
    if (shape.kind === 'structure') return this.structure(member.type, depth);
    const count = Math.min(Math.max(1 + this.#random.below(3), member.min ?? 1), member.max ?? 3);
    if (shape.kind === 'list') return Array.from({ length: count }, () => this.#member(shape.item, depth));
    return Object.fromEntries(
      Array.from({ length: count }, () => [this.#text(shape.key), this.#member(shape.value, depth)]),
    );
  }

  #number(member: Member): number {
    const { min = member.type === 'integer' || member.type === 'long' ? -5 : 0, max = min + 1000 } = member;
    const whole = min + this.#random.below(max - min + 1);
    if (member.type === 'long') return member.max === undefined ? whole + 2 ** 40 : whole;
    return member.type === 'integer' ? whole : whole + this.#random.below(8) / 8;
  }

  #text(member: Member): string {
    const values = member.enum === undefined ? undefined : this.#model.enums.get(member.enum);
    if (values !== undefined) return this.#one([...values]);
    const { pattern } = member;
    if (pattern !== undefined) return this.#one(samples.filter((text) => new RegExp(`^(?:${pattern})$`).test(text)));
    return this.#one(member.in === 'header' ? headerTexts : texts);
  }

  #one(values: readonly string[]): string {
    const value = values[this.#random.below(values.length)];
    if (value === undefined) throw new Error('no sample satisfies a pattern of the model');
    return value;
  }
}

/** A value in a form that deepEqual can compare: bytes as hex, instants as text, no prototypes. */
export function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (value instanceof Date) return `instant ${value.toISOString()}`;
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, comparable(item)]),
  );
}

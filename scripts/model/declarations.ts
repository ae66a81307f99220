/** What a package's `.d.ts` files know and its run-time schemas do not: the order of members, enumerations, errors of operations. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The type of a member as declared. */
export type DeclaredType =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list'; readonly item: DeclaredType }
  | { readonly kind: 'map'; readonly key: DeclaredType; readonly value: DeclaredType };

export interface Declarations {
  /** Members of each structure and error in the order of the API reference. */
  readonly members: ReadonlyMap<string, ReadonlyMap<string, DeclaredType>>;
  /** Names of the errors that each operation may throw. */
  readonly errors: ReadonlyMap<string, readonly string[]>;
}

export function readDeclarations(packageDirectory: string): Declarations {
  const modelsDirectory = join(packageDirectory, 'dist-types', 'models');
  const members = new Map<string, Map<string, DeclaredType>>();
  for (const file of readdirSync(modelsDirectory).sort()) {
    for (const [name, declared] of structuresIn(readFileSync(join(modelsDirectory, file), 'utf8'))) {
      members.set(name, declared);
    }
  }
  const commandsDirectory = join(packageDirectory, 'dist-types', 'commands');
  const errors = new Map<string, readonly string[]>();
  for (const file of readdirSync(commandsDirectory).sort()) {
    const operation = /^(\w+)Command\.d\.ts$/.exec(file)?.[1];
    if (operation === undefined) continue;
    const text = readFileSync(join(commandsDirectory, file), 'utf8');
    errors.set(
      operation,
      [...text.matchAll(/@throws \{@link (\w+)\}/g)].map((match) => match[1] ?? ''),
    );
  }
  return { members, errors };
}

function structuresIn(text: string): Map<string, Map<string, DeclaredType>> {
  const structures = new Map<string, Map<string, DeclaredType>>();
  const blocks = /^export (?:interface|declare class) (\w+)[^{\n]*\{\n(.*?)^\}/gms;
  for (const [, name = '', body = ''] of text.matchAll(blocks)) {
    const declared = new Map<string, DeclaredType>();
    for (const [, member = '', type = ''] of body.matchAll(/^ {4}(\w+)\??: (.+);$/gm)) {
      declared.set(member, parseType(type));
    }
    structures.set(name, declared);
  }
  return structures;
}

function parseType(text: string): DeclaredType {
  const type = text.replace(/ \| undefined$/, '');
  if (type.endsWith('[]')) return { kind: 'list', item: parseType(type.slice(0, -2)) };
  const map = /^(?:Partial<)?Record<(\w+), (.+?)>>?$/.exec(type);
  if (map !== null) return { kind: 'map', key: parseType(map[1] ?? ''), value: parseType(map[2] ?? '') };
  return { kind: 'name', name: type };
}

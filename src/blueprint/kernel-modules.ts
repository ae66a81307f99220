import { BlueprintError } from './tool.ts';

/** The modules that a kernel module needs, as its own `modinfo` says. */
export function moduleDepends(file: Buffer): readonly string[] {
  const key = Buffer.from('\0depends=');
  const at = file.indexOf(key);
  if (at < 0) return [];
  const text = file.toString('latin1', at + key.length, file.indexOf(0, at + key.length));
  return text.split(',').filter((name) => name !== '');
}

/** A name as the kernel and `depends` spell it: `virtio-rng` is `virtio_rng`. */
export function moduleName(name: string): string {
  return name.replaceAll('-', '_');
}

/**
 * The order in which modules are loaded so that each finds what it needs, all of that included. `dependsOf` answers what a
 * module names; null: there is no such module.
 */
export function loadOrder(
  wanted: readonly string[],
  dependsOf: (name: string) => readonly string[] | null,
): readonly string[] {
  const order: string[] = [];
  const visiting = new Set<string>();
  const visit = (raw: string): void => {
    const name = moduleName(raw);
    if (order.includes(name)) return;
    if (visiting.has(name)) throw new BlueprintError(`the kernel module ${name} needs itself`);
    const depends = dependsOf(name);
    if (depends === null) throw new BlueprintError(`the kernel has no module ${name}`);
    visiting.add(name);
    for (const one of depends) visit(one);
    order.push(name);
  };
  for (const name of wanted) visit(name);
  return order;
}

import { AwsRefusal } from '#api/aws-error.ts';
import { type Attachment, type Instance, SYSTEM_DEVICE } from '#domain/instance.ts';

// A machine has its system volume in one place, and its image may have another name for that.

/** Names under which requests mean the system volume, whatever its image calls it. */
const ROOT_NAMES: ReadonlySet<string> = new Set([SYSTEM_DEVICE, '/dev/sda1', '/dev/sda']);

/** `own`: what its image calls it. */
export function isRootName(name: string, own: string): boolean {
  return ROOT_NAMES.has(name) || name === own;
}

/** What clients read as its root device, also while there is no volume there. */
export function rootNameOf({ options }: Instance): string {
  return options.rootDevice ?? SYSTEM_DEVICE;
}

export function shownDevice({ device, shownAs }: { readonly device: string; readonly shownAs?: string }): string {
  return shownAs ?? device;
}

/** Null: the machine has no system volume, which it lost while it was stopped. */
export function rootOf({ attachments }: Instance): Attachment | null {
  return attachments.find(({ device }) => device === SYSTEM_DEVICE) ?? null;
}

/** What the machine has where a request says; null: nothing. */
export function attachmentAt(instance: Instance, name: string): Attachment | null {
  if (isRootName(name, rootNameOf(instance))) return rootOf(instance);
  return instance.attachments.find(({ device }) => device === name) ?? null;
}

/** Refuses what needs a system volume that is not there. */
export function requireRoot(instance: Instance): void {
  if (rootOf(instance) !== null) return;
  const message = `Instance '${instance.id}' does not have a volume attached at root (${rootNameOf(instance)})`;
  throw new AwsRefusal({ code: 'IncorrectState', message, status: 400 });
}

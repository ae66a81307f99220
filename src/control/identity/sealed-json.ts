import type { ControlPorts } from '#control/ports.ts';

// JSON values that only this installation can read or make, as text in base 64: sealed by the vault, which stands on the master
// key. Who has the metadata alone can neither read nor forge them.

export type SealPurpose = 'session token' | 'authorization message';

type SealPorts = Pick<ControlPorts, 'vault'>;

export function sealJson({ vault }: SealPorts, purpose: SealPurpose, value: unknown): string {
  return vault.seal([purpose], Buffer.from(JSON.stringify(value)));
}

/** Null: not one of ours. */
export function openJson({ vault }: SealPorts, purpose: SealPurpose, text: string): unknown {
  // Node's decoder skips what is not base 64: only a text as we wrote it is one.
  if (Buffer.from(text, 'base64').toString('base64') !== text) return null;
  const opened = vault.open([purpose], text);
  return opened === null ? null : (JSON.parse(opened.toString()) as unknown);
}

import { refuse } from './errors.ts';

/** Lightsail's ResourceName: `\w[\w\-]*\w` whole, so two characters at least; 255 at most as its console has it. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]*[A-Za-z0-9_]$/;
export const NAME_LENGTH_MAX = 255;

export function isName(text: string): boolean {
  return text.length <= NAME_LENGTH_MAX && NAME.test(text);
}

/** The name, or a refusal that names `field`. */
export function checkName(text: string, field: string): string {
  if (!isName(text)) {
    refuse({
      kind: 'invalid-value',
      field,
      reason: 'a name has 2 to 255 characters: letters, digits, _ and -, and neither begins nor ends with -',
    });
  }
  return text;
}

/** Of a label of DNS (RFC 1123). */
const LENGTH_MAX = 63;
/** What YAML takes for something else than text, of what has a letter first. */
const YAML_WORDS: ReadonlySet<string> = new Set(['true', 'false', 'yes', 'no', 'on', 'off', 'y', 'n', 'null']);

/**
 * The host name that a machine's name gives: a label of DNS with a letter first, which stands in the seed's YAML without
 * quotes. Null where nothing is left of the name.
 */
export function hostNameOf(name: string): string | null {
  const label = cut(name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-'));
  if (label === '') return null;
  // A digit first may be a number or a date to YAML.
  return /^[0-9]/.test(label) || YAML_WORDS.has(label) ? cut(`host-${label}`) : label;
}

function cut(text: string): string {
  return text.replace(/^-+/, '').slice(0, LENGTH_MAX).replace(/-+$/, '');
}

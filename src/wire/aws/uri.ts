/** Templates of request paths: `/snapshots/{SnapshotId}/blocks/{BlockIndex}`. */
import type { Model } from './model.ts';
import { WireError } from './wire-error.ts';

/** The labels of a raw path that matches the template, decoded; null when it does not match. Throws WireError `malformed` for bad escapes. */
export function labelsOf(template: string, path: string): ReadonlyMap<string, string> | null {
  const wanted = template.split('/');
  const given = segmentsOf(path, wanted.length);
  if (wanted.length !== given.length) return null;
  const labels = new Map<string, string>();
  for (const [index, segment] of wanted.entries()) {
    const text = given[index] ?? '';
    const label = labelName(segment);
    if (label === null) {
      if (segment !== text) return null;
    } else if (text === '') return null;
    else labels.set(label, text);
  }
  return new Map([...labels].map(([name, text]) => [name, decodedLabel(name, text)]));
}

/** The operation whose method and template match; a model has no two that match one path. */
export function operationAt(model: Model, method: string, path: string): string | null {
  for (const [name, { http }] of model.operations) {
    if (http !== undefined && http.method === method && matches(http.uri, path)) return name;
  }
  return null;
}

function matches(template: string, path: string): boolean {
  const wanted = template.split('/');
  const given = segmentsOf(path, wanted.length);
  if (wanted.length !== given.length) return false;
  return wanted.every((segment, index) =>
    labelName(segment) === null ? segment === given[index] : given[index] !== '',
  );
}

/** Older models of DLM, and so its older clients, have a slash at the end where the newer have none. */
function segmentsOf(path: string, count: number): readonly string[] {
  const segments = path.split('/');
  return segments.length === count + 1 && segments.at(-1) === '' ? segments.slice(0, -1) : segments;
}

function labelName(segment: string): string | null {
  return /^\{(\w+)\}$/.exec(segment)?.[1] ?? null;
}

function decodedLabel(name: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new WireError('malformed', name, `The path holds ${name} that is not correctly URL-encoded.`);
  }
}

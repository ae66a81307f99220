/** What `--debug` shows on standard error: each request and its reply. Secrets are left out. */
import type { Clock } from '#base/clock.ts';
import type { HeaderList } from '#wire/aws/http.ts';
import { shapeOf, structureOf, type Member, type Model } from '#wire/aws/model.ts';
import { pythonBytes } from '#client/python-text.ts';

export class DebugLog {
  readonly #write: ((text: string) => void) | null;
  readonly #clock: Clock;

  /** `write` null: nothing is shown. */
  constructor(write: ((text: string) => void) | null, clock: Clock) {
    this.#write = write;
    this.#clock = clock;
  }

  /** `lines` is asked only when there is somebody to read them. */
  say(part: string, lines: () => string): void {
    if (this.#write === null) return;
    const stamp = new Date(this.#clock.nowMs()).toISOString().replace('T', ' ').replace('.', ',').replace('Z', '');
    this.#write(`${stamp} - MainThread - varve.${part} - DEBUG - ${lines()}\n`);
  }
}

/** Headers as lines; the signature, and the token of a session, are secrets. */
export function headerLines(headers: HeaderList): string {
  return headers.map(([name, value]) => `\n  ${name}: ${shownHeader(name, value)}`).join('');
}

/** A body as Python shows bytes, unless the shape that it holds has a member that is a secret. */
export function bodyText(model: Model, shapeName: string | undefined, body: Uint8Array): string {
  const isSecret = shapeName !== undefined && holdsSecret(model, { type: shapeName }, new Set());
  return isSecret ? `(${body.length} bytes that hold a secret)` : pythonBytes(body);
}

const secretHeaders = new Set(['proxy-authorization', 'x-amz-security-token', 'x-aws-ec2-metadata-token']);

/** The value of a header without what is secret in it. */
export function shownHeader(name: string, value: string): string {
  const lower = name.toLowerCase();
  if (secretHeaders.has(lower)) return '***';
  if (lower !== 'authorization') return value;
  return value.startsWith('AWS4-') ? value.replace(/(Signature=).*/s, '$1***') : '***';
}

function holdsSecret(model: Model, member: Member, seen: Set<string>): boolean {
  if (member.sensitive === true) return true;
  if (!model.shapes.has(member.type) || seen.has(member.type)) return false;
  seen.add(member.type);
  const shape = shapeOf(model, member.type);
  if (shape.sensitive === true) return true;
  if (shape.kind === 'list') return holdsSecret(model, shape.item, seen);
  if (shape.kind === 'map') return holdsSecret(model, shape.key, seen) || holdsSecret(model, shape.value, seen);
  return [...structureOf(model, member.type).members.values()].some((inner) => holdsSecret(model, inner, seen));
}

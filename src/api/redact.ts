import { type Member, type Model, scalarTypes, shapeOf } from '#wire/aws/model.ts';

const REDACTED = '***';
const TEXT_LENGTH_MAX = 256;
const ITEMS_MAX = 50;

/** What the models do not mark and is a secret all the same, or opens something. */
const SECRET_NAME = /secret|password|userdata|plaintext|private|credential|token|encodedmessage|keymaterial/i;
/** Names that sound so and are none: they tell a repetition from a new call. */
const HARMLESS_NAME = /^(?:client|creation|nextt|paget|clientrequest|idempotency)\w*token$/i;

/** An input without its secrets: what the model marks as sensitive, and bytes, are left out; long texts and lists are cut. */
export function redacted(model: Model, shapeName: string, value: unknown): unknown {
  const shape = shapeOf(model, shapeName);
  if (shape.sensitive === true) return REDACTED;
  switch (shape.kind) {
    case 'structure':
      return Object.fromEntries(
        Object.entries(value ?? {}).flatMap(([name, item]) => {
          const member = shape.members.get(name);
          if (member === undefined || item === undefined) return [];
          return [[name, isSecret(name, member) ? REDACTED : memberValue(model, member, item)]];
        }),
      );
    case 'list':
      return (Array.isArray(value) ? value : [])
        .slice(0, ITEMS_MAX)
        .map((item: unknown) => memberValue(model, shape.item, item));
    case 'map':
      return Object.fromEntries(
        Object.entries(value ?? {})
          .slice(0, ITEMS_MAX)
          .map(([key, item]) => [key, SECRET_NAME.test(key) ? REDACTED : memberValue(model, shape.value, item)]),
      );
  }
}

function isSecret(name: string, member: Member): boolean {
  return member.sensitive === true || (SECRET_NAME.test(name) && !HARMLESS_NAME.test(name));
}

function memberValue(model: Model, member: Member, value: unknown): unknown {
  if (member.sensitive === true || member.type === 'blob') return REDACTED;
  if (!scalarTypes.has(member.type)) return redacted(model, member.type, value);
  return typeof value === 'string' && value.length > TEXT_LENGTH_MAX ? `${value.slice(0, TEXT_LENGTH_MAX)}…` : value;
}

/** Names of types and of values, as help and completion show them. */
import type { Member, Model } from '#wire/aws/model.ts';

/** As the AWS command line names the type of a member. */
export function typeName(model: Model, member: Member): string {
  if (member.in === 'payload' && member.type === 'blob') return 'streaming blob';
  const shape = model.shapes.get(member.type);
  return shape?.kind ?? member.type;
}

/** The values of the enumeration that a string belongs to; none: it may be anything. */
export function valuesOf(model: Model, member: Member): readonly string[] {
  return member.enum === undefined ? [] : [...(model.enums.get(member.enum) ?? [])];
}

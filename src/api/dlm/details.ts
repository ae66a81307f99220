import type { PolicyDetails as DomainDetails } from '#domain/lifecycle/policy.ts';
import type { PolicyDetails } from '#wire/aws/models/dlm.ts';

/*
 * The members of a policy's details have the same names on both sides, but for the case of their first letter: nothing is
 * added and nothing lost, so clients read what they wrote.
 */

export function detailsOf(details: PolicyDetails): DomainDetails {
  return renamed(details, (name) => name.charAt(0).toLowerCase() + name.slice(1)) as DomainDetails;
}

export function detailsView(details: DomainDetails): PolicyDetails {
  return renamed(details, (name) => name.charAt(0).toUpperCase() + name.slice(1)) as PolicyDetails;
}

function renamed(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([name, item]) => [rename(name), renamed(item, rename)]));
}

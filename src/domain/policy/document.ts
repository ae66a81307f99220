import { type Condition, parseConditionValue, parseOperator } from './condition.ts';
import { parseTemplate, type Template } from './template.ts';

/** A parsed policy document. Only `parsePolicy` makes one, so whatever is in it is understood. */
export interface Policy {
  readonly statements: readonly Statement[];
}

export interface Statement {
  readonly sid: string | null;
  readonly effect: 'Allow' | 'Deny';
  /** Null in a policy of an identity. */
  readonly principals: Principals | null;
  readonly actions: Choice<Template>;
  /** Null in a trust policy, whose resource is its role. */
  readonly resources: Choice<Template> | null;
  readonly conditions: readonly Condition[];
}

/** One of these; or, with `not`, none of them. */
export interface Choice<T> {
  readonly not: boolean;
  readonly of: readonly T[];
}

/** Whom a statement of a resource's policy means. */
export interface Principals {
  readonly not: boolean;
  readonly everyone: boolean;
  /** ARNs, and account ids as the ARN of their root. */
  readonly aws: readonly string[];
  /** `dlm.amazonaws.com`. */
  readonly services: readonly string[];
}

/**
 * What a document is for: `identity` names resources and no principals; `trust` names principals and no resources; `resource`
 * names both (KMS key policies).
 */
export type PolicyKind = 'identity' | 'trust' | 'resource';

export type ParsedPolicy =
  | { readonly kind: 'policy'; readonly policy: Policy }
  | { readonly kind: 'malformed'; readonly reason: string };

class Malformed extends Error {}

/** Reads a policy document. What AWS would refuse, and every element that is not known here, is `malformed` with a reason in words. */
export function parsePolicy(source: string, kind: PolicyKind): ParsedPolicy {
  try {
    return { kind: 'policy', policy: { statements: parseDocument(source, kind) } };
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'malformed', reason: error.message };
    throw error;
  }
}

type Fields = ReadonlyMap<string, unknown>;

function parseDocument(source: string, kind: PolicyKind): readonly Statement[] {
  const document = fieldsOf(parseJson(source), 'The policy', ['Version', 'Id', 'Statement']);
  const version = document.get('Version') ?? '2008-10-17';
  if (version !== '2008-10-17' && version !== '2012-10-17') {
    malformed('The policy must contain a valid version string: 2012-10-17 or 2008-10-17.');
  }
  if (document.has('Id') && typeof document.get('Id') !== 'string') malformed('The Id of a policy must be a string.');
  if (!document.has('Statement')) malformed('Missing required field Statement.');
  const list = document.get('Statement');
  const items: readonly unknown[] = Array.isArray(list) ? list : [list];
  if (items.length === 0) malformed('Syntax errors in policy: Statement must not be empty.');
  const variables = version === '2012-10-17';
  const statements = items.map((item, index) =>
    parseStatement(item, kind, { variables, place: `Statement[${index}]` }),
  );
  const sids = statements.flatMap(({ sid }) => sid ?? []);
  if (new Set(sids).size < sids.length) malformed('Statement IDs (SID) in a single policy must be unique.');
  return statements;
}

function parseJson(source: string): unknown {
  try {
    return JSON.parse(source) as unknown;
  } catch {
    return malformed('Syntax errors in policy: it is not valid JSON.');
  }
}

interface Where {
  readonly variables: boolean;
  readonly place: string;
}

const STATEMENT_FIELDS = [
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
];

function parseStatement(item: unknown, kind: PolicyKind, where: Where): Statement {
  const { place } = where;
  const fields = fieldsOf(item, place, STATEMENT_FIELDS);
  const sid = fields.get('Sid') ?? null;
  if (sid !== null && (typeof sid !== 'string' || (kind === 'identity' && !/^[A-Za-z0-9]*$/.test(sid)))) {
    malformed(
      `${place}: Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*`,
    );
  }
  const effect = fields.get('Effect');
  if (effect === undefined) malformed(`${place}: Missing required field Effect.`);
  if (effect !== 'Allow' && effect !== 'Deny')
    malformed(`${place}: Invalid effect: ${shown(effect)}. It is Allow or Deny.`);
  return {
    sid: typeof sid === 'string' && sid !== '' ? sid : null,
    effect,
    principals: parsePrincipals(fields, kind, effect, place),
    actions: parseActions(fields, place),
    resources: parseResources(fields, kind, where),
    conditions: parseConditions(fields.get('Condition'), where),
  };
}

/** Which of a field and its `Not…` twin is there; null: neither. */
function oneOf(fields: Fields, name: string, place: string): { readonly not: boolean; readonly value: unknown } | null {
  const negated = `Not${name}`;
  if (fields.has(name) && fields.has(negated)) malformed(`${place}: ${name} and ${negated} exclude each other.`);
  if (fields.has(name)) return { not: false, value: fields.get(name) };
  return fields.has(negated) ? { not: true, value: fields.get(negated) } : null;
}

const ACTION = /^(?:\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$/;

function parseActions(fields: Fields, place: string): Choice<Template> {
  const found = oneOf(fields, 'Action', place);
  if (found === null) return malformed(`${place}: Policy statement must contain actions.`);
  const of = texts(found.value, `${place}: Action`).map((text) => {
    if (!ACTION.test(text)) {
      malformed(
        `${place}: Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. Not so: ${shown(text)}.`,
      );
    }
    return parseTemplate(text.toLowerCase(), { variables: false, wildcards: true });
  });
  return { not: found.not, of };
}

function parseResources(fields: Fields, kind: PolicyKind, { place, variables }: Where): Choice<Template> | null {
  const found = oneOf(fields, 'Resource', place);
  if (kind === 'trust') return found === null ? null : malformed(`${place}: Has prohibited field Resource.`);
  if (found === null) return malformed(`${place}: Policy statement must contain resources.`);
  const of = texts(found.value, `${place}: Resource`).map((text) => {
    if (text !== '*' && !isArnLike(text)) malformed(`${place}: Resource ${shown(text)} must be in ARN format or "*".`);
    return parseTemplate(text, { variables, wildcards: true });
  });
  return { not: found.not, of };
}

function isArnLike(text: string): boolean {
  return /^[*?]+$/.test(text) || /^(?:arn|\*|\?{3}|a\*|ar\*|arn\*)(?::|\*$)/.test(text);
}

function parsePrincipals(fields: Fields, kind: PolicyKind, effect: string, place: string): Principals | null {
  const found = oneOf(fields, 'Principal', place);
  if (kind === 'identity') {
    return found === null ? null : malformed(`${place}: Policy document should not specify a principal.`);
  }
  if (found === null) return malformed(`${place}: Missing required field Principal.`);
  if (found.not && effect === 'Allow') malformed(`${place}: Allow with NotPrincipal is not allowed.`);
  if (found.value === '*') return { not: found.not, everyone: true, aws: [], services: [] };
  const named = fieldsOf(found.value, `${place}: Principal`, ['AWS', 'Service', 'Federated', 'CanonicalUser']);
  if (named.size === 0) malformed(`${place}: Principal must not be empty.`);
  if (named.has('Federated') || named.has('CanonicalUser')) {
    malformed(`${place}: Only AWS and Service principals are known to this server.`);
  }
  const aws = named.has('AWS') ? texts(named.get('AWS'), `${place}: Principal AWS`) : [];
  for (const text of aws) {
    if (!PRINCIPAL.test(text)) malformed(`Invalid principal in policy: "AWS":${shown(text)}`);
  }
  return {
    not: found.not,
    everyone: aws.includes('*'),
    aws: aws.map((text) => (/^\d{12}$/.test(text) ? `arn:aws:iam::${text}:root` : text)),
    services: named.has('Service') ? texts(named.get('Service'), `${place}: Principal Service`) : [],
  };
}

const PRINCIPAL =
  /^(?:\*|\d{12}|arn:aws:iam::\d{12}:(?:root|(?:user|role)\/[\w+=,.@/-]+)|arn:aws:sts::\d{12}:assumed-role\/[\w+=,.@-]+\/[\w+=,.@-]+)$/;

function parseConditions(value: unknown, { place, variables }: Where): readonly Condition[] {
  if (value === undefined) return [];
  const conditions: Condition[] = [];
  for (const [operatorText, keys] of fieldsOf(value, `${place}: Condition`, null)) {
    const operator = parseOperator(operatorText);
    if (operator === null) return malformed(`${place}: Invalid Condition type : ${operatorText.slice(0, 128)}.`);
    for (const [key, given] of fieldsOf(keys, `${place}: Condition ${operatorText}`, null)) {
      if (!/^[A-Za-z0-9-]+:.+$/.test(key)) {
        malformed(
          `${place}: Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. Not so: ${shown(key)}.`,
        );
      }
      const values = scalars(given, `${place}: Condition ${operatorText} ${key}`).map(
        (text) =>
          parseConditionValue(operator.operator, text, variables) ??
          malformed(`${place}: ${shown(text)} is not a value that ${operatorText} can compare with ${key}.`),
      );
      conditions.push({ ...operator, key: key.toLowerCase(), values });
    }
  }
  return conditions;
}

/** An object as a Map, so that no name meets Object.prototype. `known`: other names are refused. */
function fieldsOf(value: unknown, what: string, known: readonly string[] | null): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return malformed(`Syntax errors in policy: ${what} must be an object.`);
  }
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const name of fields.keys()) {
    if (known !== null && !known.includes(name))
      malformed(`Syntax errors in policy: ${what} has no field ${shown(name)}.`);
  }
  return fields;
}

/** One text or a list of them, at least one. */
function texts(value: unknown, what: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) malformed(`Syntax errors in policy: ${what} must not be empty.`);
  return list.map((item) =>
    typeof item === 'string'
      ? item
      : malformed(`Syntax errors in policy: ${what} must be a string or a list of strings.`),
  );
}

/** Condition values may be numbers and booleans, too. */
function scalars(value: unknown, what: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return texts(
    list.map((item) => (typeof item === 'number' || typeof item === 'boolean' ? String(item) : item)),
    what,
  );
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 256);
}

function malformed(reason: string): never {
  throw new Malformed(reason);
}

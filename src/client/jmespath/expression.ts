import type { Document } from '#client/command.ts';

export type Comparison = 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte';

/** An expression as a tree. */
export type Expression =
  | { readonly kind: 'current' }
  | { readonly kind: 'literal'; readonly value: Document }
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | {
      readonly kind: 'slice';
      readonly start: number | null;
      readonly stop: number | null;
      readonly step: number | null;
    }
  /** Each is evaluated on what the one before it gives. */
  | { readonly kind: 'chain'; readonly steps: readonly Expression[]; readonly indexes: boolean }
  | { readonly kind: 'flatten'; readonly of: Expression }
  | { readonly kind: 'projection'; readonly of: Expression; readonly right: Expression }
  | { readonly kind: 'valueProjection'; readonly of: Expression; readonly right: Expression }
  | {
      readonly kind: 'filterProjection';
      readonly of: Expression;
      readonly right: Expression;
      readonly condition: Expression;
    }
  | {
      readonly kind: 'comparison';
      readonly comparison: Comparison;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'not'; readonly of: Expression }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'record'; readonly members: readonly (readonly [name: string, value: Expression])[] }
  | { readonly kind: 'call'; readonly name: string; readonly operands: readonly Expression[] }
  | { readonly kind: 'reference'; readonly of: Expression };

export const CURRENT: Expression = { kind: 'current' };

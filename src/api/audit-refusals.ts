import type { AuditEntry } from './audit.ts';

/** Of one kind of refused calls, so many have lines of their own in a window; of the rest the number is told. */
const LINES_OF_KIND_MAX = 20;
const LINES_MAX = 500;
/** Kinds that are told apart in a window; what is of more is counted together. */
const KINDS_MAX = 250;

/** How many refused calls of a kind have no line of their own. */
export interface RefusedMore {
  readonly more: number;
  /** Null: of calls of many kinds. */
  readonly principal: string | null;
  readonly sourceAddress: string | null;
  readonly errorCode: string | null;
}

interface Kind {
  count: number;
  more: number;
  readonly of: Pick<AuditEntry, 'principal' | 'sourceAddress' | 'errorCode'>;
}

/**
 * Bounds what refused calls write in a window of time, however many they are: a kind is who (or, of those that nobody could be made
 * out of, from where) and why.
 */
export class Refusals {
  #kinds = new Map<string, Kind>();
  #lines = 0;
  #others = 0;

  /** Whether this call has a line of its own; counts it otherwise. */
  admit(entry: AuditEntry): boolean {
    const { principal, sourceAddress, errorCode } = entry;
    const name = `${principal ?? sourceAddress ?? ''} ${errorCode ?? ''}`;
    let kind = this.#kinds.get(name);
    if (kind === undefined) {
      if (this.#kinds.size >= KINDS_MAX) {
        this.#others += 1;
        return false;
      }
      kind = { count: 0, more: 0, of: { principal, sourceAddress, errorCode } };
      this.#kinds.set(name, kind);
    }
    kind.count += 1;
    if (kind.count <= LINES_OF_KIND_MAX && this.#lines < LINES_MAX) {
      this.#lines += 1;
      return true;
    }
    kind.more += 1;
    return false;
  }

  /** What was counted in the window, which ends. */
  take(): readonly RefusedMore[] {
    const more: RefusedMore[] = [];
    for (const kind of this.#kinds.values()) {
      if (kind.more > 0) more.push({ more: kind.more, ...kind.of });
    }
    if (this.#others > 0) more.push({ more: this.#others, principal: null, sourceAddress: null, errorCode: null });
    this.#kinds = new Map();
    this.#lines = 0;
    this.#others = 0;
    return more;
  }
}

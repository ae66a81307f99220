import type { Document } from '#client/command.ts';
import { isList, isRecord } from '#client/output/json.ts';
import { parseDocument } from '#client/whole-float.ts';
import { isDeepStrictEqual } from 'node:util';
import type { RunResult } from '../run.ts';

/**
 * Whether what we print is what an older `aws` would print with our model. Its model is older: it does not know some members,
 * has others in another order, and lacks some operations. Its own refusals have other words and codes.
 *
 * JSON must hold all that it prints. Lines of text and tables are compared where they are equal in members; null: that
 * cannot be told.
 */
export function agreesWithOlder(ours: RunResult, theirs: RunResult): boolean | null {
  if (/Invalid choice|Unknown options/.test(theirs.stderr)) return null;
  if ((ours.code === 0) !== (theirs.code === 0)) return false;
  if (ours.stdout === theirs.stdout) return theirs.code === 0 || isSameRefusal(ours.stderr, theirs.stderr);
  const [printed, wanted] = [documentOf(ours.stdout), documentOf(theirs.stdout)];
  return printed === undefined || wanted === undefined ? null : holds(printed, wanted);
}

/** What the service refuses, it refuses in the same words. */
function isSameRefusal(ours: string, theirs: string): boolean {
  const line = theirs.trim().split('\n')[0] ?? '';
  return !/^(?:An error occurred|Waiter)/.test(line) || line === ours.trim().split('\n')[0];
}

function documentOf(text: string): Document | undefined {
  try {
    return parseDocument(text);
  } catch {
    return undefined;
  }
}

function holds(printed: Document, wanted: Document): boolean {
  if (isList(wanted)) {
    return (
      isList(printed) &&
      printed.length === wanted.length &&
      wanted.every((item, index) => holds(printed[index] ?? null, item))
    );
  }
  if (!isRecord(wanted)) return isDeepStrictEqual(printed, wanted);
  return (
    isRecord(printed) &&
    Object.entries(wanted).every(([name, value]) => Object.hasOwn(printed, name) && holds(printed[name] ?? null, value))
  );
}

import { createContext, Script } from 'node:vm';

/** A pattern that a client wrote may take for ever on some text; nobody else is to wait for that. */
const MATCH_MS_MAX = 100;

const context = createContext({ pattern: '', text: '' });
const script = new Script('new RegExp(pattern).test(text)');

/** Whether a regular expression matches somewhere in the text; null: it takes too long to say. */
export function matchesWithin(pattern: string, text: string): boolean | null {
  Object.assign(context, { pattern, text });
  try {
    return script.runInContext(context, { timeout: MATCH_MS_MAX }) === true;
  } catch (error) {
    // It is of the context: no Error of ours.
    const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
    if (code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return null;
    throw error;
  }
}

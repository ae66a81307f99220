import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { requireTool } from '../clients.ts';
import { findPython } from '../python.ts';
import { run } from '../run.ts';
import type { RunningServer } from '../running-server.ts';

/** Whether there is a Python with boto3: as `requireTool`. */
export function requireBoto3(t: TestContext): boolean {
  if (findPython('boto3') !== null) return true;
  return requireTool(t, 'boto3 for Python (python3-boto3)');
}

/** Runs a script of this directory against a server; it has to go to its end. What it printed. */
export async function runScript(
  server: RunningServer,
  name: string,
  args: readonly string[] = [],
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const python = findPython('boto3');
  assert.ok(python !== null);
  const result = await run(python, [join(import.meta.dirname, name), server.endpoint, ...args], {
    env: { ...server.environment(), ...more },
  });
  assert.equal(result.code, 0, result.stdout.slice(-3000) + result.stderr);
  assert.match(result.stdout, /ok: all of it\n$/, 'it went to its end');
  return result.stdout;
}

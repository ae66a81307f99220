import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';

/**
 * Whether `tool` can be run here. When it cannot, the test is skipped, and with VARVE_REQUIRE_CLIENTS=1 it fails: a
 * machine that is there to prove something must not pass by having nothing to prove it with.
 *
 * `if (!requireTool(t, 'nbdinfo')) return;`
 */
export function requireTool(t: TestContext, tool: string): boolean {
  if (isInstalled(tool)) return true;
  if (process.env['VARVE_REQUIRE_CLIENTS'] === '1')
    throw new Error(`${tool} is not installed, and it is required here`);
  t.skip(`${tool} is not installed`);
  return false;
}

/** The same for several tools at once. */
export function requireTools(t: TestContext, tools: readonly string[]): boolean {
  return tools.every((tool) => requireTool(t, tool));
}

/** Whether this kernel lets file systems be served by programs; as `requireTool`. */
export function requireFuse(t: TestContext): boolean {
  if (existsSync('/dev/fuse')) return true;
  const reason = 'there is no /dev/fuse: the kernel has no FUSE, or the container does not give it';
  if (process.env['VARVE_REQUIRE_CLIENTS'] === '1') throw new Error(`${reason}, and it is required here`);
  t.skip(reason);
  return false;
}

const installed = new Map<string, boolean>();

function isInstalled(tool: string): boolean {
  let known = installed.get(tool);
  if (known === undefined) {
    known = spawnSync('sh', ['-c', 'command -v -- "$1"', 'sh', tool], { stdio: 'ignore' }).status === 0;
    installed.set(tool, known);
  }
  return known;
}

/** For what is made before any test runs: whether to make it at all. A test says what is missing. */
export function isEveryToolInstalled(tools: readonly string[]): boolean {
  return tools.every(isInstalled);
}

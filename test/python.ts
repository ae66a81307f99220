import { spawnSync } from 'node:child_process';

/** The Pythons that may have a module: the one that is asked for, else the path's (often the newer), else Debian's. */
const PYTHONS =
  process.env['VARVE_TEST_PYTHON'] === undefined ? ['python3', '/usr/bin/python3'] : [process.env['VARVE_TEST_PYTHON']];

const found = new Map<string, string | null>();

/** A Python that can import `module`; null: there is none. */
export function findPython(module: string): string | null {
  let python = found.get(module);
  if (python === undefined) {
    python =
      PYTHONS.find((one) => spawnSync(one, ['-c', `import ${module}`], { stdio: 'ignore' }).status === 0) ?? null;
    found.set(module, python);
  }
  return python;
}

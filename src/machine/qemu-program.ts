import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import type { Clock } from '#base/clock.ts';

import { condemnKvm, probeAccelerator, type ProbeOptions, type Verdict } from './accelerator.ts';
import { type Capabilities, HypervisorError } from './hypervisor.ts';

const NAME = 'qemu-system-x86_64';
const PACKAGE = 'qemu-system-x86';
const VERSION_MS_MAX = 30_000;

export interface QemuProgramOptions {
  readonly accelerator?: 'auto' | 'kvm' | 'tcg';
  readonly program?: string;
  /** Keeps what the probe of the accelerator found. */
  readonly cachePath: string;
  readonly clock: Clock;
}

/**
 * QEMU as it is installed here. Looked for at once, in the background; the answer stays for the life of this process. The
 * accelerator is probed when somebody asks for it first: that boots a machine, which most servers never do.
 */
export class QemuProgram {
  readonly #options: QemuProgramOptions;
  readonly #found: Promise<{ readonly path: string; readonly version: string } | null>;
  #judged: Promise<Verdict | null> | null = null;

  constructor(options: QemuProgramOptions) {
    this.#options = options;
    this.#found = findProgram(options.program);
  }

  async capabilities(): Promise<Capabilities> {
    const found = await this.#found;
    const verdict = await this.#verdict();
    if (found === null || verdict === null) {
      const note = `${this.#options.program ?? NAME} is not installed, so no instance can be run: apt-get install ${PACKAGE}`;
      return { accelerator: null, version: null, missing: [PACKAGE], note };
    }
    return { accelerator: verdict.accelerator, version: found.version, missing: [], note: verdict.note };
  }

  /** Throws `unavailable` where there is no QEMU. */
  async path(): Promise<string> {
    const found = await this.#found;
    if (found === null) throw new HypervisorError('unavailable', (await this.capabilities()).note ?? '');
    return found.path;
  }

  /** Of the next machine. Throws `unavailable`. */
  async accelerator(): Promise<'kvm' | 'tcg'> {
    await this.path();
    return (await this.#verdict())?.accelerator ?? 'tcg';
  }

  /** No machine is started with KVM any more. */
  async condemnKvm(note: string): Promise<void> {
    const found = await this.#found;
    if (found !== null) this.#judged = condemnKvm(this.#probe(found), note);
    await this.#judged;
  }

  #verdict(): Promise<Verdict | null> {
    this.#judged ??= this.#found.then((found) => (found === null ? null : this.#judge(found)));
    return this.#judged;
  }

  async #judge(found: { readonly path: string; readonly version: string }): Promise<Verdict> {
    const wanted = this.#options.accelerator ?? 'auto';
    if (wanted === 'tcg') return { accelerator: 'tcg', note: 'machines are emulated: so it is configured' };
    if (wanted === 'kvm') return { accelerator: 'kvm', note: null };
    return await probeAccelerator(this.#probe(found));
  }

  #probe(found: { readonly path: string; readonly version: string }): ProbeOptions {
    const { cachePath, clock } = this.#options;
    return { program: found.path, version: found.version, cachePath, clock };
  }
}

/** Null: there is none that runs. */
async function findProgram(
  given: string | undefined,
): Promise<{ readonly path: string; readonly version: string } | null> {
  const path = given ?? (await inPath(NAME));
  if (path === null) return null;
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: VERSION_MS_MAX });
    const [version = ''] = stdout.split('\n');
    return { path, version: version.replace(/ \(.*/, '') };
  } catch {
    return null;
  }
}

async function inPath(name: string): Promise<string | null> {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, name);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere && directory !== '') return path;
  }
  return null;
}

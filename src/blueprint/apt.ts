import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { KEYRING, machineSources, sourceLines } from './debian-mirror.ts';
import { BlueprintError, runTool } from './tool.ts';

/** Lists of packages are not fetched again within that time. */
const FRESH_MS = 3_600_000;

export interface AptOptions {
  /** Kept from build to build: lists and packages. */
  readonly cacheDirectory: string;
  /** Null: the machine's, or Debian's. */
  readonly mirror: string | null;
  readonly signal: AbortSignal;
}

/** A downloaded package. */
export interface Package {
  readonly name: string;
  readonly version: string;
  /** Of its `.deb`. */
  readonly path: string;
}

/**
 * An apt beside the machine's own, for a Debian that is not installed: it resolves, downloads and verifies packages, and
 * needs no rights. What packages depend on comes too, except what is `assumed` to be there, which only scripts of packages
 * would need: none is run.
 */
export class Apt {
  readonly #directory: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #signal: AbortSignal;
  /** By this one, and not by one of an hour ago. */
  #isUpdated = false;

  private constructor(directory: string, signal: AbortSignal) {
    this.#directory = directory;
    this.#env = { APT_CONFIG: join(directory, 'apt.conf') };
    this.#signal = signal;
  }

  /** Fetches what there is. Throws BlueprintError. */
  static async open({ cacheDirectory, mirror, signal }: AptOptions): Promise<Apt> {
    if (!existsSync(KEYRING)) {
      throw new BlueprintError(
        `${KEYRING} is missing. On Debian and Ubuntu: apt-get install --no-install-recommends debian-archive-keyring`,
      );
    }
    const directory = join(cacheDirectory, 'apt');
    for (const part of ['state/lists/partial', 'cache/archives/partial', 'parts']) {
      await mkdir(join(directory, part), { recursive: true });
    }
    await writeFile(join(directory, 'sources.list'), `${sourceLines(await machineSources(), mirror).join('\n')}\n`);
    await writeFile(join(directory, 'apt.conf'), configuration(directory));
    const apt = new Apt(directory, signal);
    await apt.#assume([]);
    await apt.#update();
    return apt;
  }

  /** Downloads packages and all that they need. */
  async download(names: readonly string[], assumed: readonly string[]): Promise<readonly Package[]> {
    await this.#assume(assumed);
    try {
      return await this.#downloadListed(names);
    } catch (error) {
      // Lists of an hour ago may name what Debian has replaced since.
      if (this.#isUpdated || !(error instanceof BlueprintError)) throw error;
    }
    await this.#fetchLists();
    return await this.#downloadListed(names);
  }

  async #downloadListed(names: readonly string[]): Promise<readonly Package[]> {
    const options = ['--yes', '--no-install-recommends', ...names];
    const plan = await this.#run(['install', '--simulate', ...options]);
    const wanted = new Set([...plan.matchAll(/^Inst (\S+) \((\S+) /gm)].map((match) => `${match[1]}_${match[2]}`));
    const isWanted = ({ name, version }: Package): boolean => wanted.has(`${name}_${version}`);
    const cached = (await this.#archives()).filter(isWanted);
    if (cached.length === wanted.size) return cached;
    await this.#run(['install', '--download-only', ...options]);
    await this.#run(['autoclean']); // What Debian has replaced.
    const found = (await this.#archives()).filter(isWanted);
    if (found.length === wanted.size) return found;
    throw new BlueprintError(`apt downloaded ${found.length} of ${wanted.size} packages`);
  }

  /** Fetches the lists, unless that was done just now from the same sources. */
  async #update(): Promise<void> {
    const { stamp, sources } = await this.#stamp();
    const before = existsSync(stamp) ? await stat(stamp) : null;
    const isFresh = before !== null && systemClock.nowMs() - before.mtimeMs < FRESH_MS;
    if (isFresh && (await readFile(stamp, 'utf8')) === sources) return;
    await this.#fetchLists();
  }

  async #fetchLists(): Promise<void> {
    const { stamp, sources } = await this.#stamp();
    try {
      await this.#run(['update']);
    } catch (error) {
      if (!(error instanceof BlueprintError)) throw error;
      // A list that is damaged is not fetched again by itself.
      const lists = join(this.#directory, 'state/lists');
      await rm(lists, { recursive: true, force: true });
      await mkdir(join(lists, 'partial'), { recursive: true });
      await this.#run(['update']);
    }
    await writeFile(stamp, sources);
    this.#isUpdated = true;
  }

  /** The file that says when and from where the lists were fetched. */
  async #stamp(): Promise<{ readonly stamp: string; readonly sources: string }> {
    const sources = await readFile(join(this.#directory, 'sources.list'), 'utf8');
    return { stamp: join(this.#directory, 'updated'), sources };
  }

  async #archives(): Promise<readonly Package[]> {
    const directory = join(this.#directory, 'cache/archives');
    const files = await readdir(directory);
    return files.filter((name) => name.endsWith('.deb')).map((file) => packageOf(directory, file));
  }

  /** Writes the list of packages that count as installed. */
  async #assume(names: readonly string[]): Promise<void> {
    const paragraphs = names.map(
      (name) =>
        `Package: ${name}\nStatus: install ok installed\nArchitecture: all\nMulti-Arch: foreign\nVersion: 9999\nMaintainer: nobody\nDescription: assumed\n`,
    );
    await writeFile(join(this.#directory, 'status'), paragraphs.join('\n'));
  }

  async #run(args: readonly string[]): Promise<string> {
    return await runTool('apt-get', ['-q', ...args], { env: this.#env, signal: this.#signal });
  }
}

/** `busybox_1%3a1.35.0-4_amd64.deb`: apt escapes the colon of an epoch. */
function packageOf(directory: string, file: string): Package {
  const [name = '', version = ''] = file.split('_');
  return { name, version: decodeURIComponent(version), path: join(directory, file) };
}

function configuration(directory: string): string {
  const settings: Readonly<Record<string, string>> = {
    'Dir::State': join(directory, 'state/'),
    'Dir::State::status': join(directory, 'status'),
    'Dir::Cache': join(directory, 'cache/'),
    'Dir::Etc::sourcelist': join(directory, 'sources.list'),
    'Dir::Etc::sourceparts': join(directory, 'parts/'),
    'Dir::Etc::preferencesparts': join(directory, 'parts/'),
    'APT::Architecture': 'amd64',
    'APT::Get::List-Cleanup': 'false',
    'APT::Keep-Downloaded-Packages': 'true',
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    // Of Debian's own keys and no others.
    'Dir::Etc::trustedparts': join(directory, 'parts/'),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  return `#clear DPkg::Pre-Install-Pkgs;\n#clear DPkg::Post-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n${lines.join('\n')}\n`;
}

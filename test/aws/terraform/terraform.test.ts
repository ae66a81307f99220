import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { isEveryToolInstalled } from '../../clients.ts';
import { Machines } from '../../machine/machine-server.ts';
import { TINY_TOOLS, tinyImage } from '../../machine/tiny-image.ts';
import { run } from '../../run.ts';
import { RunningServer } from '../../running-server.ts';

/** Where Terraform's providers may lie on the disk: nothing is downloaded. */
const PLUGIN_DIRECTORIES = [
  process.env['VARVE_TERRAFORM_PLUGINS'],
  join(homedir(), '.terraform.d/plugins'),
  '/usr/local/share/terraform/plugins',
  '/usr/share/terraform/plugins',
].filter((path) => path !== undefined);

/** What needs machines that run. */
const MACHINES: ReadonlySet<string> = new Set(['lightsail.tf', 'ec2.tf']);
const hasMachines = isEveryToolInstalled(TINY_TOOLS);

/** Terraform on a copy of the configuration beside this file. */
class Terraform {
  readonly #directory: string;
  readonly #env: Record<string, string>;

  private constructor(directory: string, env: Record<string, string>) {
    this.#directory = directory;
    this.#env = env;
  }

  static async init(server: RunningServer, plugins: string): Promise<Terraform> {
    const directory = scratchDirectory('varve-terraform-');
    for (const name of await readdir(import.meta.dirname)) {
      if (MACHINES.has(name) && !hasMachines) continue;
      if (name.endsWith('.tf')) await copyFile(join(import.meta.dirname, name), join(directory, name));
    }
    const config = join(directory, 'terraform.rc');
    await writeFile(config, `provider_installation {\n  filesystem_mirror { path = ${JSON.stringify(plugins)} }\n}\n`);
    const other = '210987654321';
    const env = {
      ...server.environment(),
      // Most of it waits, by far the longest for what the provider asks again and again, with pauses.
      TF_CLI_ARGS_apply: '-parallelism=40',
      TF_CLI_ARGS_destroy: '-parallelism=40',
      AWS_ENDPOINT_URL: server.endpoint,
      TF_CLI_CONFIG_FILE: config,
      TF_IN_AUTOMATION: '1',
      TF_VAR_other_account: other,
    };
    const terraform = new Terraform(directory, env);
    await terraform.run('init', '-no-color');
    return terraform;
  }

  /** What it printed; throws when it failed. */
  async run(...words: readonly string[]): Promise<string> {
    const result = await run('terraform', words, { cwd: this.#directory, env: this.#env });
    assert.equal(result.code, 0, `terraform ${words.join(' ')}\n${result.stdout.slice(-4000)}\n${result.stderr}`);
    return result.stdout;
  }

  async apply(changed: boolean): Promise<string> {
    return await this.run('apply', '-auto-approve', '-no-color', '-input=false', `-var=changed=${changed}`);
  }

  /** Fails when there is anything left to change. */
  async assertSettled(changed: boolean): Promise<void> {
    const words = ['plan', '-no-color', '-input=false', '-detailed-exitcode', `-var=changed=${changed}`];
    const result = await run('terraform', words, { cwd: this.#directory, env: this.#env });
    assert.equal(result.code, 0, result.stdout.slice(-6000) + result.stderr);
  }
}

test(
  'Terraform applies, finds nothing left to change, changes in place, and destroys',
  { timeout: 900_000 },
  async (t) => {
    const plugins = PLUGIN_DIRECTORIES.find((path) => existsSync(path));
    const isThere = plugins !== undefined && (await run('terraform', ['version'])).code === 0;
    if (!isThere) {
      // No registry of packages brings it: where it is not on the machine there is nothing to run.
      t.diagnostic('terraform with the provider for AWS is not on this machine');
      return;
    }
    await using server = await RunningServer.start();
    await using machines = new Machines(server.dataDirectory, (words) => server.aws(words));
    if (hasMachines) {
      const words = ['--name', 'Tiny Linux', '--id', 'tiny'];
      const { code, stderr } = await server.varve(['blueprint', 'import', await tinyImage(), ...words]);
      assert.equal(code, 0, stderr);
    } else {
      t.diagnostic('without what runs machines, resources of instances are left out');
    }
    const terraform = await Terraform.init(server, plugins);
    assert.match(await terraform.apply(false), /Apply complete!/);
    await terraform.assertSettled(false);
    const changed = await terraform.apply(true);
    assert.match(
      changed,
      /Apply complete! Resources: 0 added, \d+ changed, 0 destroyed/,
      'everything changes in place',
    );
    await terraform.assertSettled(true);
    // The plan before has read everything.
    const words = ['-auto-approve', '-no-color', '-input=false', '-refresh=false', '-var=changed=true'];
    const destroyed = await terraform.run('destroy', ...words);
    assert.match(destroyed, /Destroy complete!/);
    assert.equal(await machines.processCount(), 0, 'no machine runs any more');
  },
);

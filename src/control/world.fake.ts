import { assert } from '#base/assert.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { SteadyTime } from '#base/steady-time.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { regionName } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { FakeHypervisor, FakeMachines } from '#machine/hypervisor.fake.ts';
import { KyselyStore } from '#meta/kysely-store.ts';
import { createAccount } from './access.ts';
import { type Control, makeControl } from './control.ts';
import { Faults, faultyHost, faultyHypervisor, faultyMeta } from './fault.fake.ts';
import { KeyVault } from './kms/vault.ts';
import { limits, type Limits } from './limits.ts';
import { MemoryHost } from './memory-host.fake.ts';
import { TEST_OUTPOSTS } from './outposts.fake.ts';
import type { ControlPorts, TaskName } from './ports.ts';
import { openSteadyTime } from './steady-time.ts';

/** A whole control plane for tests: real metadata in a database without a file, a host in memory, a clock that stands. */
export class World implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly host = new MemoryHost();
  readonly machines = new FakeMachines();
  readonly faults = new Faults();
  #boot = 1;
  #hypervisor: FakeHypervisor | null = null;
  readonly #limits: Limits;
  readonly #meta: KyselyStore;
  #control: Control;

  private constructor(meta: KyselyStore, some: Partial<Limits>) {
    this.#meta = meta;
    this.#limits = limits({ progressPeriodMs: 1000, ...some });
    this.random = new SeededRandom(7);
    this.#control = this.#make(new SteadyTime(this.clock, this.clock, null));
  }

  static async make(some: Partial<Limits> = {}): Promise<World> {
    return new World(await KyselyStore.open(':memory:', new VirtualClock()), some);
  }

  get control(): Control {
    return this.#control;
  }

  /** Of the control process that runs now. */
  get hypervisor(): FakeHypervisor {
    assert(this.#hypervisor !== null, 'a control process has a hypervisor');
    return this.#hypervisor;
  }

  get ports(): ControlPorts {
    return this.#control.ports;
  }

  /** A new account, in us-east-1 unless told otherwise. */
  async account(region = 'us-east-1'): Promise<Scope> {
    const { account } = await createAccount(this.ports, {});
    return { account, region: regionName(region) };
  }

  /** The control process dies and another one begins; the host lives on. */
  async restartControl(): Promise<void> {
    await this.#control[Symbol.asyncDispose]();
    this.#control = this.#make(await openSteadyTime(this.#meta, this.clock, this.clock));
  }

  /** The computer starts anew: nothing runs any more. */
  async reboot(): Promise<void> {
    this.#boot += 1;
    this.machines.byId.clear();
    this.host.restart();
    await this.restartControl();
  }

  /** Every reconciler, again and again, until nothing is left to do; time passes for what waits. */
  async settle(): Promise<void> {
    const names: readonly TaskName[] = [
      'finish-intents',
      'open-volumes',
      'upload-snapshots',
      'reconcile-instances',
      'finish-deletions',
    ];
    for (let round = 0; round < 4; round += 1) {
      for (const name of names) await this.#control.run(name);
      await this.clock.advance(5000);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.host.restart();
    await this.#control[Symbol.asyncDispose]();
    await this.#meta[Symbol.asyncDispose]();
  }

  #make(time: SteadyTime): Control {
    this.#hypervisor = new FakeHypervisor({ clock: this.clock, machines: this.machines });
    return makeControl({
      meta: faultyMeta(this.#meta, this.faults),
      host: faultyHost(this.host, this.faults),
      hypervisor: faultyHypervisor(this.#hypervisor, this.faults),
      machinePlace: {
        address: '127.0.0.1',
        addresses: { first: 0x7f_0a_00_01, count: 6 }, // 127.10.0.1 and the next five.
        lowestPort: 1024,
        boot: `boot-${this.#boot}`,
      },
      clock: this.clock,
      time,
      random: this.random,
      log: silentLog,
      outposts: TEST_OUTPOSTS,
      limits: this.#limits,
      tokenKey: new Uint8Array(32).fill(1),
      vault: new KeyVault({ root: new Uint8Array(32).fill(2), random: this.random }),
    });
  }
}

import { assert } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { SteadyTime } from '#base/steady-time.ts';
import type { Outpost } from '#domain/outpost.ts';
import type { Hypervisor } from '#machine/hypervisor.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import type { VolumeHost } from '#volume/host.ts';
import { Intents } from './intents.ts';
import type { KeyVault } from './kms/vault.ts';
import { limits, type Limits, type LimitSettings } from './limits.ts';
import type { ControlPorts, MachinePlace, TaskName } from './ports.ts';
import { collectChunks } from './tasks/collect-chunks.ts';
import { TaskDriver } from './tasks/driver.ts';
import { emptyBin } from './tasks/empty-bin.ts';
import { expireDirect } from './tasks/expire-direct.ts';
import { finishDeletions } from './tasks/finish-deletions.ts';
import { finishIntents } from './tasks/finish-intents.ts';
import { openVolumes } from './tasks/open-volumes.ts';
import { MeasureMachines } from './tasks/measure-machines.ts';
import { prune } from './tasks/prune.ts';
import { TendKeys } from './tasks/tend-keys.ts';
import { ReconcileInstances } from './tasks/reconcile-instances.ts';
import { tendTiers } from './tasks/tend-tiers.ts';
import { tendFastRestores } from './tasks/tend-fast-restores.ts';
import { runAddOns } from './tasks/run-add-ons.ts';
import { runPolicies } from './tasks/run-policies.ts';
import type { Task, TaskReport, TaskState } from './tasks/task.ts';
import { UploadSnapshots } from './tasks/upload-snapshots.ts';
import { watchClock } from './tasks/watch-clock.ts';
import { WriteGates } from './write-gate.ts';

export interface ControlParts {
  readonly meta: MetaStore;
  readonly host: VolumeHost;
  readonly hypervisor: Hypervisor;
  readonly machinePlace: MachinePlace;
  readonly clock: Clock;
  /** On the same clock. */
  readonly time: SteadyTime;
  readonly random: Random;
  readonly log: Log;
  readonly limits: Limits;
  /** Accounts that have other limits; by default none. */
  readonly accountLimits?: LimitSettings['accounts'];
  /** By default none. */
  readonly outposts?: readonly Outpost[];
  /** 32 bytes. */
  readonly tokenKey: Uint8Array;
  readonly vault: KeyVault;
}

/** Use cases and reconcilers over one metadata store and one host; it owns neither. Disposing stops the reconcilers. */
export interface Control extends AsyncDisposable {
  readonly ports: ControlPorts;
  /**
   * Starts the reconcilers. Without it they run only when asked, which is what tests do. Resolves when the host has opened the
   * volumes, or has tried to; nothing else waits for that.
   */
  start(): Promise<void>;
  /** One whole activation of a task, begun after this call. */
  run(task: TaskName): Promise<TaskReport>;
  /** How each task is doing. */
  tasks(): readonly TaskState[];
  /** The host is a new process: everything must be opened again, uploads resumed. */
  hostRestarted(): void;
}

export function makeControl(parts: ControlParts): Control {
  assert(parts.tokenKey.length === 32, 'the token key has 32 bytes');
  const ofAccounts = new Map(
    [...(parts.accountLimits ?? [])].map(([account, own]) => [account, limits({ ...parts.limits, ...own })]),
  );
  const ports: ControlPorts = {
    ...parts,
    outposts: parts.outposts ?? [],
    limitsOf: (account) => ofAccounts.get(account) ?? parts.limits,
    intents: new Intents(),
    writeGates: new WriteGates(),
    wake: (name) => driver.wake(name),
  };
  const { clock, log } = parts;
  const driver = new TaskDriver(tasksOf(ports), { clock, log });
  parts.hypervisor.watch(() => driver.wake('reconcile-instances'));
  return {
    ports,
    start: async () => {
      // Asked for before the reconcilers run, so that it is the first activation.
      const opened = driver.run('open-volumes');
      driver.start();
      await opened.catch(() => {}); // The reconciler logs it, and tries again.
    },
    run: (task) => driver.run(task),
    tasks: () => driver.states(),
    hostRestarted: () => {
      for (const name of [
        'open-volumes',
        'upload-snapshots',
        'finish-deletions',
        'tend-fast-restores',
        'reconcile-instances',
      ] as const)
        driver.wake(name);
    },
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

function tasksOf(ports: ControlPorts): readonly Task[] {
  return [
    watchClock(ports),
    finishIntents(ports),
    openVolumes(ports),
    new UploadSnapshots(ports),
    finishDeletions(ports),
    collectChunks(ports),
    expireDirect(ports),
    prune(ports),
    new TendKeys(ports),
    runPolicies(ports),
    tendFastRestores(ports),
    emptyBin(ports),
    tendTiers(ports),
    new ReconcileInstances(ports),
    runAddOns(ports),
    new MeasureMachines(ports),
  ];
}

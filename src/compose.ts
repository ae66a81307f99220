import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '#base/make-directory.ts';
import { systemClock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { systemUptime } from '#base/uptime.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { type AdminServer, startAdminServer } from '#api/admin/admin-server.ts';
import { LogFeed } from '#api/admin/log-feed.ts';
import { type AuditHeads, AuditLog } from '#api/audit-log.ts';
import { dlmFace } from '#api/dlm/face.ts';
import { ebsFace } from '#api/ebs/face.ts';
import { ec2Face } from '#api/ec2/face.ts';
import { iamFace } from '#api/iam/face.ts';
import { kmsFace } from '#api/kms/face.ts';
import { lightsailFace } from '#api/lightsail/face.ts';
import { rbinFace } from '#api/rbin/face.ts';
import { type ApiServer, createApiServer } from '#api/server.ts';
import { stsFace } from '#api/sts/face.ts';
import { type AccessKey, createAccount, rootAccount } from '#control/access.ts';
import { openMasterKey } from '#chunk/master-key-source.ts';
import { derive } from '#chunk/seal.ts';
import { type Control, makeControl } from '#control/control.ts';
import { checkVault } from '#control/kms/vault-check.ts';
import { KeyVault } from '#control/kms/vault.ts';
import { limits } from '#control/limits.ts';
import { openSteadyTime } from '#control/steady-time.ts';
import { checkOutposts, outpostsOf } from '#control/outposts.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { KyselyStore } from '#meta/kysely-store.ts';
import { type HostBeginning, HostSupervisor } from '#volume/host-supervisor.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { AUDIT_PURPOSE, auditHeads, keepAuditHeads } from './audit-place.ts';
import { RecentTroubles } from './cli/recent-troubles.ts';
import { readTlsFiles } from './cli/tls-files.ts';
import { version } from './cli/version.ts';
import { statusOf } from './server-status.ts';
import { machinePlace, openHypervisor } from './compose-machines.ts';
import type { Config } from './config.ts';

export interface Composition {
  readonly control: Control;
  readonly api: ApiServer;
  readonly admin: (socketPath: string) => Promise<AdminServer>;
  readonly socketDirectory: string;
  /** What became of a volume host that was alive. */
  readonly beginning: HostBeginning;
  /** Of the volume host that serves now, or served last. */
  readonly hostProcessId: () => number;
  /** The volume host goes on when the rest ends. */
  readonly leaveHost: () => void;
}

/** Names every concrete part once. What it opens, it gives to `scope`, which closes it in reverse. */
export async function compose(
  config: Config,
  options: {
    readonly log: Log;
    readonly onBroken: (error: unknown) => void;
    readonly replaceHost: boolean;
  },
  scope: AsyncDisposableStack,
): Promise<Composition> {
  const { onBroken } = options;
  const startedAtMs = systemClock.nowMs();
  const troubles = new RecentTroubles(systemClock);
  const feed = new LogFeed(systemClock);
  const log = feed.watch(troubles.watch(options.log));
  const tls = config.tls === null ? {} : { tls: await readTlsFiles(config.tls) };
  const { socketDirectory } = openRunDirectory(config.dataDirectory);
  const meta = scope.use(await openMeta(config)); // First: it holds the lock on the data directory.
  await checkOutposts(meta, config.outposts);
  let restarted: (() => void) | null = null;
  const supervisor = scope.use(
    await HostSupervisor.start({
      dataDirectory: config.dataDirectory,
      settings: {
        nbdTcp: config.nbdTcp,
        s3: config.s3,
        encryptVolumes: config.encryptVolumes,
        hydration: { bytesPerSecond: config.hydrationMib * 1024 ** 2 },
        masterKey: config.masterKey,
        outposts: config.outposts,
      },
      build: version(),
      clock: systemClock,
      log,
      replaceInUse: options.replaceHost,
      onRestart: async () => restarted?.(),
    }),
  );
  const { vault, auditKey } = await openKeys(config, meta);
  const { account } = await rootAccount({ meta, clock: systemClock, random: systemRandom });
  const hypervisor = scope.use(await openHypervisor(config, { socketDirectory, log }));
  const control = scope.use(
    makeControl({
      meta,
      host: supervisor.host,
      hypervisor,
      machinePlace: machinePlace(config),
      clock: systemClock,
      time: await openSteadyTime(meta, systemClock, systemUptime),
      random: systemRandom,
      log,
      limits: limits(config.limits.general),
      accountLimits: config.limits.accounts,
      outposts: outpostsOf(config.outposts, account),
      tokenKey: await tokenKey(meta),
      vault,
    }),
  );
  restarted = () => control.hostRestarted();
  const audit = scope.use(
    await AuditLog.open({
      directory: config.dataDirectory,
      key: auditKey,
      heads: await auditHeads(meta),
      keepHeads: (heads) => keepAuditHeads(meta, heads),
      clock: systemClock,
      log,
    }),
  );
  const api = createApiServer({
    ports: control.ports,
    faces: [ec2Face, lightsailFace, ebsFace, stsFace, kmsFace, iamFace, rbinFace, dlmFace],
    audit,
    onBroken,
    ...tls,
  });
  const admin = (socketPath: string): Promise<AdminServer> =>
    startAdminServer({
      ports: control.ports,
      socketPath,
      nbdUri,
      collect: () => control.run('collect-chunks'),
      audit: () => audit.flushed(),
      feed,
      status: () => statusOf({ control, hostProcessId: supervisor.pid, startedAtMs, troubles }),
    });
  return {
    control,
    api,
    admin,
    socketDirectory,
    beginning: supervisor.beginning,
    hostProcessId: () => supervisor.pid,
    leaveHost: () => supervisor.leaveRunning(),
  };
}

/** For `varve accounts create` while no server runs: a new account in the metadata, without a volume host. */
export async function createAccountOffline(config: Config, alias: string | null): Promise<AccessKey> {
  await makeDirectory(config.dataDirectory);
  await using meta = await openMeta(config);
  return await createAccount({ meta, clock: systemClock, random: systemRandom }, alias === null ? {} : { alias });
}

/** For `varve audit verify` while no server runs: how far the log had come, by the metadata. */
export async function auditHeadsOffline(config: Config): Promise<AuditHeads> {
  if (!existsSync(join(config.dataDirectory, 'meta.db'))) return {}; // A copy of the log alone.
  await using meta = await openMeta(config);
  return await auditHeads(meta);
}

async function openMeta(config: Config): Promise<KyselyStore> {
  return await KyselyStore.open(join(config.dataDirectory, 'meta.db'), systemClock);
}

/** The volume host has the master key already, or has made it. Throws, with a sentence, when it is not the one of this metadata. */
async function openKeys(
  config: Config,
  meta: MetaStore,
): Promise<{ readonly vault: KeyVault; readonly auditKey: Buffer }> {
  const { dataDirectory, masterKey: source } = config;
  const masterKey = await openMasterKey(source, { dataDirectory, environment: process.env, random: systemRandom });
  const vault = new KeyVault({ root: derive(masterKey, 'kms'), random: systemRandom });
  const auditKey = derive(masterKey, AUDIT_PURPOSE);
  masterKey.fill(0);
  await checkVault(meta, vault);
  return { vault, auditKey };
}

/** Signs tokens of pages and blocks; made once, and kept, so that tokens outlive a restart. */
async function tokenKey(meta: MetaStore): Promise<Buffer> {
  return await meta.transact(async (tx) => {
    const known = await tx.settings.get('token-key');
    if (known !== null) return Buffer.from(known, 'hex');
    const made = systemRandom.bytes(32);
    await tx.settings.put('token-key', made.toString('hex'));
    return made;
  });
}

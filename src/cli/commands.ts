/** Every command of `varve` but the services' own: one table for the help, the manual, completion and the dispatch. */

/** A command as its module gives it. */
export interface LoadedCommand {
  /** What `varve help NAME` prints: what it does, `usage:`, each option. */
  readonly usage: string;
  /** `words`: those behind the name. Throws ConfigError for a wrong command line, CommandError for what could not be done. */
  readonly run: (words: readonly string[]) => Promise<void>;
}

export type CommandGroup = 'the server' | 'disks and snapshots' | 'files in them' | 'instances' | 'the store' | 'more';

export interface CommandEntry {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  readonly group: CommandGroup;
  /** Its output may be read by something that wants the beginning only (`head`). */
  readonly isList?: true;
  /** The module is read when the command is used, and not before. */
  readonly load: () => Promise<LoadedCommand>;
}

const SERVER: readonly CommandEntry[] = [
  {
    name: 'serve',
    summary: 'start the server (Ctrl-C stops it)',
    group: 'the server',
    load: async () => {
      const { SERVE_USAGE, serveCommand } = await import('./serve-command.ts');
      return { usage: SERVE_USAGE, run: serveCommand };
    },
  },
  {
    name: 'status',
    summary: 'how the server is: clients, sizes, what it does, what went wrong last',
    group: 'the server',
    isList: true,
    load: async () => {
      const { STATUS_USAGE, statusCommand } = await import('./status.ts');
      return { usage: STATUS_USAGE, run: statusCommand };
    },
  },
  {
    name: 'doctor',
    summary: 'what this machine has and lacks for it',
    group: 'the server',
    isList: true,
    load: async () => {
      const { DOCTOR_USAGE, doctorCommand } = await import('./doctor.ts');
      return { usage: DOCTOR_USAGE, run: doctorCommand };
    },
  },
  {
    name: 'trace',
    summary: 'the calls that the server answers, as it answers them',
    group: 'the server',
    isList: true,
    load: async () => {
      const { TRACE_USAGE, traceCommand } = await import('./trace.ts');
      return { usage: TRACE_USAGE, run: traceCommand };
    },
  },
  {
    name: 'env',
    summary: 'the shell lines that point the aws CLI at the local server: eval "$(varve env)"',
    group: 'the server',
    isList: true,
    load: async () => {
      const { ENV_USAGE, envCommand } = await import('./env.ts');
      return { usage: ENV_USAGE, run: envCommand };
    },
  },
  {
    name: 'clock',
    summary: 'whether its clock jumped, which holds up deletions',
    group: 'the server',
    isList: true,
    load: async () => {
      const { CLOCK_USAGE, clockCommand } = await import('./clock.ts');
      return { usage: CLOCK_USAGE, run: clockCommand };
    },
  },
  {
    name: 'accounts',
    summary: 'make and list accounts',
    group: 'the server',
    isList: true,
    load: async () => {
      const { ACCOUNTS_USAGE, accountsCommand } = await import('./accounts.ts');
      return { usage: ACCOUNTS_USAGE, run: accountsCommand };
    },
  },
  {
    name: 'keys',
    summary: "list the access keys of accounts' roots, and replace one",
    group: 'the server',
    isList: true,
    load: async () => {
      const { KEYS_USAGE, keysCommand } = await import('./keys.ts');
      return { usage: KEYS_USAGE, run: keysCommand };
    },
  },
  {
    name: 'audit',
    summary: 'who called what; whether a line was changed or is missing',
    group: 'the server',
    isList: true,
    load: async () => {
      const { AUDIT_USAGE, auditCommand } = await import('./audit.ts');
      return { usage: AUDIT_USAGE, run: auditCommand };
    },
  },
];

const DISKS: readonly CommandEntry[] = [
  {
    name: 'connect',
    summary: 'the NBD address of a disk, volume or snapshot; credentials for it over TCP',
    group: 'disks and snapshots',
    isList: true,
    load: async () => {
      const { CONNECT_USAGE, connectCommand } = await import('./connect.ts');
      return { usage: CONNECT_USAGE, run: connectCommand };
    },
  },
  {
    name: 'volumes',
    summary: 'all volumes and disks, and how much of what they were made from is here',
    group: 'disks and snapshots',
    isList: true,
    load: async () => {
      const { VOLUMES_USAGE, volumesCommand } = await import('./volumes.ts');
      return { usage: VOLUMES_USAGE, run: volumesCommand };
    },
  },
  {
    name: 'snapshot',
    summary: 'make, restore, watch, delete snapshots, and draw what descends from what',
    group: 'disks and snapshots',
    isList: true,
    load: async () => {
      const { SNAPSHOT_USAGE, snapshotCommand } = await import('./snapshot.ts');
      return { usage: SNAPSHOT_USAGE, run: snapshotCommand };
    },
  },
  {
    name: 'snapshots',
    summary: 'all snapshots with their exact sizes in the store',
    group: 'disks and snapshots',
    isList: true,
    load: async () => {
      const { SNAPSHOTS_USAGE, snapshotsCommand } = await import('./snapshots.ts');
      return { usage: SNAPSHOTS_USAGE, run: snapshotsCommand };
    },
  },
  {
    name: 'import',
    summary: 'make a disk of an image: raw, qcow2 or vmdk',
    group: 'disks and snapshots',
    load: async () => {
      const { IMPORT_USAGE, importCommand } = await import('./import.ts');
      return { usage: IMPORT_USAGE, run: importCommand };
    },
  },
  {
    name: 'export',
    summary: 'write a disk, volume or snapshot as an image',
    group: 'disks and snapshots',
    load: async () => {
      const { EXPORT_USAGE, exportCommand } = await import('./export.ts');
      return { usage: EXPORT_USAGE, run: exportCommand };
    },
  },
];

const FILES: readonly CommandEntry[] = [
  {
    name: 'ls',
    summary: 'list files inside a snapshot or disk',
    group: 'files in them',
    isList: true,
    load: async () => {
      const { LS_USAGE, lsCommand } = await import('./ls.ts');
      return { usage: LS_USAGE, run: lsCommand };
    },
  },
  {
    name: 'cp',
    summary: 'copy files out of a snapshot or disk',
    group: 'files in them',
    isList: true,
    load: async () => {
      const { CP_USAGE, cpCommand } = await import('./cp.ts');
      return { usage: CP_USAGE, run: cpCommand };
    },
  },
  {
    name: 'diff',
    summary: 'what changed between two snapshots: bytes, ranges, files',
    group: 'files in them',
    isList: true,
    load: async () => {
      const { DIFF_USAGE, diffCommand } = await import('./diff.ts');
      return { usage: DIFF_USAGE, run: diffCommand };
    },
  },
  {
    name: 'mount',
    summary: 'show a snapshot or disk as a directory',
    group: 'files in them',
    load: async () => {
      const { MOUNT_USAGE, mountCommand } = await import('./mount.ts');
      return { usage: MOUNT_USAGE, run: mountCommand };
    },
  },
  {
    name: 'umount',
    summary: 'take that away again',
    group: 'files in them',
    load: async () => {
      const { UMOUNT_USAGE, umountCommand } = await import('./umount.ts');
      return { usage: UMOUNT_USAGE, run: umountCommand };
    },
  },
];

const INSTANCES: readonly CommandEntry[] = [
  {
    name: 'ssh',
    summary: 'a shell in an instance (-- COMMAND: perform that)',
    group: 'instances',
    load: async () => {
      const { SSH_USAGE, sshCommand } = await import('./machines.ts');
      return { usage: SSH_USAGE, run: sshCommand };
    },
  },
  {
    name: 'console',
    summary: 'what an instance wrote to its serial console',
    group: 'instances',
    isList: true,
    load: async () => {
      const { CONSOLE_USAGE, consoleCommand } = await import('./machines.ts');
      return { usage: CONSOLE_USAGE, run: consoleCommand };
    },
  },
  {
    name: 'blueprint',
    summary: 'what instances are made from: system disks of Debian packages, or images',
    group: 'instances',
    load: async () => {
      const { BLUEPRINT_USAGE, blueprintCommand } = await import('./blueprint.ts');
      return { usage: BLUEPRINT_USAGE, run: blueprintCommand };
    },
  },
];

const STORE: readonly CommandEntry[] = [
  {
    name: 'du',
    summary: 'what snapshots take in the store, exactly, and what deleting them would free',
    group: 'the store',
    isList: true,
    load: async () => {
      const { DU_USAGE, duCommand } = await import('./du.ts');
      return { usage: DU_USAGE, run: duCommand };
    },
  },
  {
    name: 'gc',
    summary: 'give back at once what nothing needs any more',
    group: 'the store',
    load: async () => {
      const { GC_USAGE, gcCommand } = await import('./gc.ts');
      return { usage: GC_USAGE, run: gcCommand };
    },
  },
  {
    name: 'verify',
    summary: 'read and check every byte that is stored, or all of one snapshot',
    group: 'the store',
    isList: true,
    load: async () => {
      const { VERIFY_USAGE, verifyCommand } = await import('./verify.ts');
      return { usage: VERIFY_USAGE, run: verifyCommand };
    },
  },
  {
    name: 'rescue',
    summary: 'read snapshots from a bare copy of the object store: no server, no metadata',
    group: 'the store',
    load: async () => {
      const { RESCUE_USAGE, rescueCommand } = await import('./rescue.ts');
      return { usage: RESCUE_USAGE, run: rescueCommand };
    },
  },
];

const MORE: readonly CommandEntry[] = [
  {
    name: 'bench',
    summary: 'measure the running server on this machine',
    group: 'more',
    load: async () => {
      const { BENCH_USAGE, benchCommand } = await import('./bench.ts');
      return { usage: BENCH_USAGE, run: benchCommand };
    },
  },
  {
    name: 'completion',
    summary: 'a script with which bash, zsh or fish completes all this',
    group: 'more',
    isList: true,
    load: async () => {
      const { COMPLETION_USAGE, completionCommand } = await import('./completion.ts');
      return { usage: COMPLETION_USAGE, run: async (words) => await completionCommand(words, COMMANDS) };
    },
  },
  {
    name: 'version',
    summary: 'the versions of Varve and of Node',
    group: 'more',
    isList: true,
    load: async () => {
      const { VERSION_USAGE, versionCommand } = await import('./version.ts');
      return { usage: VERSION_USAGE, run: versionCommand };
    },
  },
];

export const COMMANDS: readonly CommandEntry[] = [...SERVER, ...DISKS, ...FILES, ...INSTANCES, ...STORE, ...MORE];

/** What `varve help` prints: each command in a line, by groups. */
export function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const groups = [...new Set(COMMANDS.map(({ group }) => group))];
  const lines: string[] = [];
  for (const group of groups) {
    lines.push(`${group}:`);
    for (const { name, summary } of COMMANDS.filter((entry) => entry.group === group)) {
      lines.push(`  ${name.padEnd(width)}  ${summary}`);
    }
    lines.push('');
  }
  return `Varve: block-storage snapshots that the AWS tools understand, with real bytes behind them.

usage: varve COMMAND [options]
       varve SERVICE OPERATION [options]     as with "aws": varve lightsail create-disk-snapshot …

${lines.join('\n')}
services: dlm, ebs, ec2, iam, kms, lightsail, rbin, sts: "varve SERVICE help", "varve SERVICE OPERATION help"

"varve help COMMAND" says more of each. Every command but rescue takes --data DIR, where the server keeps everything
(default: VARVE_DATA, else .varve here or in a directory above, else /var/lib/varve).
Exit codes: 0 done, 1 could not be done, 2 the command line is wrong; of operations: those of the AWS CLI
(docs/manual/README.md).
`;
}

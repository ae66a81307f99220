import type { MasterKeySource } from '#chunk/master-key-source.ts';
import { decodeSettings, type HostDifference } from '#volume/host-settings.ts';
import type { HostBeginning, HostInUseError } from '#volume/host-supervisor.ts';

import { counted } from './counted.ts';

/** Why a server did not start: clients are connected to a volume host that runs otherwise than was asked for. */
export function hostInUseWords(error: HostInUseError): string {
  const { living, clientCount } = error;
  const others = error.differing.map((difference) => otherWords(difference, living.settings)).join(', ');
  const clients =
    clientCount === null
      ? 'NBD clients may be connected to its disks'
      : `${counted(clientCount, 'NBD client')} ${clientCount === 1 ? 'is' : 'are'} connected to its disks`;
  return (
    `a volume host (process ${living.pid}) still serves this data directory, with ${others}, and ${clients}. ` +
    'Nothing was changed. Start with the options that it has; or unmount, disconnect the clients and start again; ' +
    'or add --replace-host, which disconnects them'
  );
}

/** What became of a host that was alive when the server started, for a person; null where there is nothing to say. */
export function beginningWords(beginning: HostBeginning): string | null {
  switch (beginning.kind) {
    case 'started':
      return null;
    case 'adopted':
      return 'The disks were served all the time, and go on as they were.';
    case 'configured':
      return `The disks were served all the time, and go on. Taken up without a restart: ${beginning.differing.map(optionOf).join(', ')}.`;
    case 'replaced': {
      const { differing, clientCount } = beginning;
      const cut = clientCount === 0 ? 'No client was connected' : `${clientsCut(clientCount)} disconnected`;
      return `The volume host was replaced, because of ${differing.map(optionOf).join(', ')}. ${cut}.`;
    }
  }
}

function clientsCut(count: number | null): string {
  if (count === null) return 'Whoever was connected is';
  return `${counted(count, 'NBD client')} ${count === 1 ? 'was' : 'were'}`;
}

const OPTIONS = {
  nbdTcp: '--nbd-tcp',
  s3: '--store',
  encryptVolumes: '--encrypt-volumes',
  hydration: '--hydration-rate',
  masterKey: '--master-key-file or --master-key-command',
  outposts: '--outposts',
  program: 'another version of varve',
} as const satisfies Record<HostDifference, string>;

function optionOf(difference: HostDifference): string {
  return OPTIONS[difference];
}

/** An option as the living host has it. */
function otherWords(difference: HostDifference, settings: string): string {
  const option = optionOf(difference);
  if (difference === 'program') return option;
  const { nbdTcp, s3, encryptVolumes, hydration, masterKey, outposts } = decodeSettings(settings);
  switch (difference) {
    case 'nbdTcp':
      return nbdTcp === null ? `no ${option}` : `${option} ${hostAndPort(nbdTcp.host, nbdTcp.port)}`;
    case 's3':
      if (s3 === null) return `no ${option}`;
      return `${option} s3://${s3.bucket}/${s3.prefix} (${s3.endpoint ?? 'Amazon'}, ${s3.region})`;
    case 'encryptVolumes':
      return encryptVolumes ? option : `no ${option}`;
    case 'hydration':
      return `${option} ${Math.round(hydration.bytesPerSecond / 1024 ** 2)}`;
    case 'masterKey':
      return `its master key from ${masterKeyWords(masterKey)}`;
    case 'outposts':
      return outposts.length === 0 ? `no ${option}` : `${option} of ${outposts.map(({ id }) => id).join(', ')}`;
  }
}

function masterKeyWords(source: MasterKeySource): string {
  switch (source.kind) {
    case 'file':
      return source.where ?? 'the data directory';
    case 'environment':
      return 'VARVE_MASTER_KEY';
    case 'command':
      return '--master-key-command';
  }
}

function hostAndPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

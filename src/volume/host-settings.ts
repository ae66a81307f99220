import { type Decode, count, nullable, record } from './host-decode.ts';

/** How a volume host is set up beside its data directory. A living host with other settings is replaced, not adopted. */
export interface HostSettings {
  /** Port of 127.0.0.1 where all exports are served by name as well; 0: any free one; null: unix sockets only. */
  readonly nbdPort: number | null;
}

const settings: Decode<HostSettings> = record<HostSettings>({ nbdPort: nullable(count) });

/** One text for one value, to compare and to pass on a command line. */
export function encodeSettings(value: HostSettings): string {
  return JSON.stringify({ nbdPort: value.nbdPort });
}

/** Throws DecodeError or SyntaxError. */
export function decodeSettings(text: string): HostSettings {
  return settings(JSON.parse(text), 'settings');
}

import type { Platform } from './blueprint.ts';

/** How large a machine is, and what AWS asks for one: Lightsail's plans. */
export interface Bundle {
  /** `nano_3_0`. */
  readonly id: string;
  /** For people: `Nano`. */
  readonly name: string;
  /** US dollars a month, as AWS publishes it; this server charges nothing. */
  readonly priceUsd: number;
  readonly cpuCount: number;
  readonly memoryMib: number;
  /** Of the system disk. */
  readonly diskGib: number;
  readonly transferGb: number;
  /** Lightsail's number to compare bundles and blueprints with. */
  readonly power: number;
  readonly platforms: readonly Platform[];
  /** False: of an older generation. It is not listed unless asked for, and machines are made with it all the same. */
  readonly isActive: boolean;
}

type Size = 'pico' | 'nano' | 'micro' | 'small' | 'medium' | 'large' | 'xlarge' | '2xlarge' | '4xlarge';

const NAMES: Readonly<Record<Size, string>> = {
  pico: 'Pico',
  nano: 'Nano',
  micro: 'Micro',
  small: 'Small',
  medium: 'Medium',
  large: 'Large',
  xlarge: 'Xlarge',
  '2xlarge': '2Xlarge',
  '4xlarge': '4Xlarge',
};

const POWERS: Readonly<Record<Size, number>> = {
  pico: 100,
  nano: 300,
  micro: 500,
  small: 1000,
  medium: 2000,
  large: 3000,
  xlarge: 4000,
  '2xlarge': 5000,
  '4xlarge': 6000,
};

/** Price, processors, MiB of memory, GiB of disk, GB of transfer a month. */
type Row = readonly [Size, number, number, number, number, number];

/** Of this server alone: small enough to be emulated without the processor's help, for guests of one purpose. */
const OWN: readonly Row[] = [['pico', 0, 1, 128, 8, 512]];

const THIRD: readonly Row[] = [
  ['nano', 5, 2, 512, 20, 1024],
  ['micro', 7, 2, 1024, 40, 2048],
  ['small', 12, 2, 2048, 60, 3072],
  ['medium', 24, 2, 4096, 80, 4096],
  ['large', 44, 2, 8192, 160, 5120],
  ['xlarge', 84, 4, 16_384, 320, 6144],
  ['2xlarge', 164, 8, 32_768, 640, 7168],
  ['4xlarge', 384, 16, 65_536, 1280, 8192],
];

const SECOND: readonly Row[] = [
  ['nano', 3.5, 1, 512, 20, 1024],
  ['micro', 5, 1, 1024, 40, 2048],
  ['small', 10, 1, 2048, 60, 3072],
  ['medium', 20, 2, 4096, 80, 4096],
  ['large', 40, 2, 8192, 160, 5120],
  ['xlarge', 80, 4, 16_384, 320, 6144],
  ['2xlarge', 160, 8, 32_768, 640, 7168],
];

/** What the examples of AWS's reference pages ask for. */
const FIRST: readonly Row[] = [
  ['nano', 5, 1, 512, 20, 1000],
  ['micro', 10, 1, 1024, 30, 2000],
  ['small', 20, 1, 2048, 40, 3000],
  ['medium', 40, 2, 4096, 60, 4000],
  ['large', 80, 2, 8192, 80, 5000],
];

function bundles(rows: readonly Row[], generation: number, isActive: boolean): readonly Bundle[] {
  return rows.map(([size, priceUsd, cpuCount, memoryMib, diskGib, transferGb]) => ({
    id: `${size}_${generation}_0`,
    name: NAMES[size],
    priceUsd,
    cpuCount,
    memoryMib,
    diskGib,
    transferGb,
    power: POWERS[size],
    platforms: ['LINUX_UNIX'],
    isActive,
  }));
}

/** All of them, the current ones first, each generation from the smallest to the largest. */
export const BUNDLES: readonly Bundle[] = [
  ...bundles(OWN, 1, true),
  ...bundles(THIRD, 3, true),
  ...bundles(SECOND, 2, false),
  ...bundles(FIRST, 1, false),
];

const BY_ID: ReadonlyMap<string, Bundle> = new Map(BUNDLES.map((bundle) => [bundle.id, bundle]));

/** Null: there is none of that id. */
export function findBundle(id: string): Bundle | null {
  return BY_ID.get(id) ?? null;
}

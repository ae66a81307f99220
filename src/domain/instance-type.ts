import { BUNDLES } from './bundle.ts';

/** How large a machine is in EC2. Lightsail's bundles are types, too, under their own ids. */
export interface InstanceType {
  /** `t3.micro`. */
  readonly id: string;
  readonly cpuCount: number;
  readonly memoryMib: number;
  readonly isCurrent: boolean;
  /** AWS runs it at full speed on credit; here it always may. */
  readonly isBurstable: boolean;
}

/** What EC2 takes when a request names none. */
export const INSTANCE_TYPE_DEFAULT = 'm1.small';

type Size = readonly [name: string, cpuCount: number, memoryMib: number];

const BURSTABLE: readonly Size[] = [
  ['nano', 2, 512],
  ['micro', 2, 1024],
  ['small', 2, 2048],
  ['medium', 2, 4096],
  ['large', 2, 8192],
  ['xlarge', 4, 16_384],
  ['2xlarge', 8, 32_768],
];

const T2: readonly Size[] = [
  ['nano', 1, 512],
  ['micro', 1, 1024],
  ['small', 1, 2048],
  ['medium', 2, 4096],
  ['large', 2, 8192],
  ['xlarge', 4, 16_384],
  ['2xlarge', 8, 32_768],
];

/** GiB of memory for each processor, from the size `large` on. */
function family(gibPerCpu: number): readonly Size[] {
  return [
    ['large', 2, 2 * gibPerCpu * 1024],
    ['xlarge', 4, 4 * gibPerCpu * 1024],
    ['2xlarge', 8, 8 * gibPerCpu * 1024],
    ['4xlarge', 16, 16 * gibPerCpu * 1024],
  ];
}

const FAMILIES: readonly (readonly [
  prefix: string,
  sizes: readonly Size[],
  isCurrent: boolean,
  isBurstable: boolean,
])[] = [
  ['t3', BURSTABLE, true, true],
  ['t3a', BURSTABLE, true, true],
  ['t2', T2, true, true],
  ['m5', family(4), true, false],
  ['m6i', family(4), true, false],
  ['c5', family(2), true, false],
  ['c6i', family(2), true, false],
  ['r5', family(8), true, false],
  ['r6i', family(8), true, false],
  ['m1', [['small', 1, 1740]], false, false],
];

/** All of them: what AWS has first. */
export const INSTANCE_TYPES: readonly InstanceType[] = [
  ...FAMILIES.flatMap(([prefix, sizes, isCurrent, isBurstable]) =>
    sizes.map(([size, cpuCount, memoryMib]) => ({
      id: `${prefix}.${size}`,
      cpuCount,
      memoryMib,
      isCurrent,
      isBurstable,
    })),
  ),
  ...BUNDLES.map(({ id, cpuCount, memoryMib, isActive }) => ({
    id,
    cpuCount,
    memoryMib,
    isCurrent: isActive,
    isBurstable: false,
  })),
];

const BY_ID: ReadonlyMap<string, InstanceType> = new Map(INSTANCE_TYPES.map((type) => [type.id, type]));

/** Null: there is none of that id. */
export function findInstanceType(id: string): InstanceType | null {
  return BY_ID.get(id) ?? null;
}

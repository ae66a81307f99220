import type { BlockDevice } from '#block/device.ts';

/** One block device that clients may open. */
export interface NbdExport {
  /** What connections are counted and closed by. */
  readonly id: string;
  readonly device: BlockDevice;
  /** For people; at most 4096 bytes. */
  readonly description: string;
  /** False: whoever found it earlier does not open it any more. Missing: as long as it is found. */
  readonly isServed?: () => boolean;
}

/** What can be opened through one listener. */
export interface NbdExports {
  /** The export that a client means by `name` (up to 4096 bytes; empty: the default one), or null when there is none. */
  resolve(name: string): Promise<NbdExport | null>;
  /** What OPT_LIST tells, or null when it is not told. */
  list(): Promise<readonly { readonly name: string; readonly description: string }[] | null>;
}

/** A listener's exports when it serves one only: by its id, and as the default. */
export function singleExport(only: NbdExport): NbdExports {
  return {
    resolve: async (name) => (name === '' || name === only.id ? only : null),
    list: async () => [{ name: only.id, description: only.description }],
  };
}

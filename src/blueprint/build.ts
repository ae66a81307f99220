/** How an image is built. */
export interface BuildOptions {
  /** Kept from build to build: packages. One build uses it at a time. */
  readonly cacheDirectory: string;
  /** Empty, and the build's own; whoever gives it removes it. */
  readonly workDirectory: string;
  /** Where the raw, sparse image is written. */
  readonly imagePath: string;
  /** Of Debian; null: the machine's, or Debian's own. */
  readonly mirror: string | null;
  readonly signal: AbortSignal;
  readonly onStep: (what: string) => void;
}

/** What was built, in the words of a blueprint. */
export interface BuiltImage {
  readonly sizeBytes: number;
  /** `12.11`. */
  readonly version: string;
}

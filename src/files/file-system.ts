export type FileKind = 'file' | 'directory' | 'symlink' | 'character-device' | 'block-device' | 'fifo' | 'socket';

/** Where a part of a file's content is. */
export type RunSource =
  | { readonly kind: 'hole' }
  /** `at`: bytes from where the file system begins. `inPlace`: the disk itself holds it there, not its journal. */
  | { readonly kind: 'disk'; readonly at: number; readonly inPlace: boolean }
  | { readonly kind: 'bytes'; readonly bytes: Buffer };

/** A part of a file's content; offset and length in bytes. */
export interface FileRun {
  readonly offset: number;
  readonly length: number;
  readonly source: RunSource;
}

/** A name in a directory. */
export interface DirectoryEntry {
  /** As it is stored: never empty, ".", "..", and without "/" and NUL. */
  readonly name: Buffer;
  /** The number of what it names; what is near is stored near. */
  readonly id: number;
  /** Throws FileSystemError when what it names cannot be read. */
  open(): Promise<FileNode>;
}

/** A file, directory or anything else that has a name. */
export interface FileNode {
  /** The same for every name of one file, and of no other in this file system. */
  readonly id: number;
  readonly kind: FileKind;
  /** Permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly linkCount: number;
  readonly modified: FileTime;
  /** Of a device file. */
  readonly device: { readonly major: number; readonly minor: number } | null;
  /** Of a directory, in the order in which they are stored, without "." and "..". Throws FileSystemError. */
  entries(): AsyncIterable<DirectoryEntry>;
  /** Of a file: runs that cover [0, sizeBytes) in order. Throws FileSystemError. */
  content(): AsyncIterable<FileRun>;
  /** Of a symlink. Throws FileSystemError. */
  linkTarget(): Promise<Buffer>;
}

/** A moment: seconds since 1970, and nanoseconds. */
export interface FileTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** A file system that is only read. */
export interface FileSystem {
  /** `ext4`, `fat32` … */
  readonly kind: string;
  readonly label: string;
  /** What whoever looks at it should know, as sentences. */
  readonly notes: readonly string[];
  root(): Promise<FileNode>;
  /** What lies at a place that `content` told. */
  read(at: number, length: number): Promise<Buffer>;
}

/** More names in one directory are a mistake, or an attack on memory. */
export const DIRECTORY_ENTRIES_MAX = 4 * 1024 * 1024;

const SLASH = 0x2f;

/** Whether a stored name can be one of a file. The names of a directory for itself and the one above are none. */
export function isFileName(name: Buffer): boolean {
  if (name.length === 0 || name.includes(0) || name.includes(SLASH)) return false;
  return !(name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)));
}

export function isDots(name: Buffer): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

import { deviceReader, type ByteReader } from './byte-reader.ts';
import { piecesOf } from './content.ts';
import type { FileNode, FileSystem } from './file-system.ts';
import { EnteredOnce, listDirectory } from './paths.ts';

/** An image in a file, for as long as the process lives. */
export function imageReader(path: string): ByteReader {
  const file = openSync(path, 'r');
  process.once('exit', () => closeSync(file));
  return deviceReader({
    sizeBytes: fstatSync(file).size,
    read: (offset, target) => {
      readSync(file, target, 0, target.length, offset);
    },
  });
}

/** Bytes in memory; reads beyond them fail as those of a device do not come to pass. */
export function memoryReader(bytes: Buffer): ByteReader {
  return deviceReader({
    sizeBytes: bytes.length,
    read: (offset, target) => {
      bytes.copy(target, 0, offset, offset + target.length);
    },
  });
}

export function makeImage(path: string, sizeBytes: number): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, sizeBytes);
  closeSync(file);
}

export function writeAt(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

/** Runs a tool; what it printed. Throws when it failed. */
export function tool(program: string, args: readonly string[], input?: string): string {
  return execFileSync(program, [...args], {
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    ...(input === undefined ? {} : { input }),
  });
}

/** All of a content, holes as zeros. */
export async function contentOf(files: FileSystem, node: FileNode): Promise<Buffer> {
  const whole = Buffer.alloc(node.sizeBytes);
  for await (const { offset, bytes } of piecesOf(files, node)) bytes.copy(whole, offset);
  return whole;
}

/** A line for each file: path, kind, mode, size, time, and what is in it. Throws FileSystemError. */
export async function describeTree(files: FileSystem): Promise<readonly string[]> {
  const lines: string[] = [];
  const once = new EnteredOnce();
  const pending: { readonly path: string; readonly node: FileNode; readonly depth: number }[] = [
    { path: '', node: await files.root(), depth: 0 },
  ];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    once.enter(next.node, next.depth);
    for (const listed of await listDirectory(next.node)) {
      if (listed.node === null) throw listed.error;
      const { node } = listed;
      const path = `${next.path}/${listed.name.toString()}`;
      lines.push(`${path} ${await inWords(files, node)}`);
      if (node.kind === 'directory') pending.push({ path, node, depth: next.depth + 1 });
    }
  }
  return lines.sort();
}

async function inWords(files: FileSystem, node: FileNode): Promise<string> {
  const common = `${node.kind} ${node.mode.toString(8)} ${node.uid}:${node.gid} ${node.modified.seconds}`;
  if (node.kind === 'symlink') return `${common} -> ${(await node.linkTarget()).toString()}`;
  if (node.kind !== 'file') return common;
  return `${common} ${node.sizeBytes} ${digest(await contentOf(files, node))}`;
}

/** FNV-1a; enough to tell contents apart. */
export function digest(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0;
  return hash;
}

import { spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { systemClock } from '#base/clock.ts';
import { BlueprintError, runTool } from '#blueprint/tool.ts';
import { blueprintIdOf, type BlueprintWords } from '#domain/blueprint.ts';
import { Progress } from './bars.ts';
import { type BlueprintImage, checkBlueprint, makeBlueprint } from './blueprint-server.ts';
import { CommandError } from './command-error.ts';
import { formatOfName } from './image-format.ts';
import { Interrupt } from './image-interrupt.ts';
import type { ImageFormat } from './import-format.ts';

export interface BlueprintImportWish extends Omit<BlueprintWords, 'id' | 'group'> {
  /** A path, an http(s) address, or `-`. */
  readonly source: string;
  /** Null: by the source's name. */
  readonly format: ImageFormat | null;
  readonly sizeGib: number | null;
  /** Null: made of the name. */
  readonly id: string | null;
  readonly group: string | null;
  readonly replaces: boolean;
  readonly region: string | undefined;
  readonly data: string | undefined;
}

const ARCHIVE = /\.(?:ova|tar|tgz|txz|tar\.(?:gz|xz|bz2|zst))$/i;
const IMAGE = /\.(?:raw|img|qcow2|vmdk)$/i;

/** Makes a blueprint of a disk image. Throws CommandError. */
export async function runBlueprintImport(wish: BlueprintImportWish): Promise<void> {
  const id = wish.id ?? blueprintIdOf(wish.name);
  if (id === null) throw new CommandError(`no id can be made of the name "${wish.name}": give one with --id`);
  const { name, description, version, userName, minimumPower } = wish;
  const words = { id, name, description, version, userName, minimumPower, group: wish.group ?? id };
  await checkBlueprint(words, wish);
  const directory = await mkdtemp(join(tmpdir(), 'varve-blueprint-'));
  try {
    await makeBlueprint(words, await imageOf(wish, directory), wish);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Brings what is elsewhere, or inside an archive, to a file of its own in `directory`. */
async function imageOf(wish: BlueprintImportWish, directory: string): Promise<BlueprintImage> {
  const { source, format, sizeGib } = wish;
  if (source === '-') return { path: source, format, sizeGib };
  using interrupt = new Interrupt();
  const path = /^https?:\/\//i.test(source)
    ? await downloaded(new URL(source), directory, interrupt.signal)
    : resolve(source);
  if (!existsSync(path)) throw new CommandError(`there is no file ${path}`);
  if (!ARCHIVE.test(path)) return { path, format, sizeGib };
  const inside = await unpacked(path, directory, interrupt.signal);
  // The name inside says what it is; an archive's own name does not.
  return { path: inside, format: format ?? (formatOfName(inside) === null ? 'raw' : null), sizeGib };
}

async function downloaded(url: URL, directory: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw new CommandError(`${url.href} cannot be fetched`, { cause: error });
  });
  if (!response.ok || response.body === null) {
    throw new CommandError(`${url.href} cannot be fetched: ${response.status} ${response.statusText}`);
  }
  const length = Number(response.headers.get('content-length'));
  using progress = new Progress({ label: 'fetching', totalBytes: length > 0 ? length : null, clock: systemClock });
  const path = join(directory, downloadName(url));
  let bytes = 0;
  const body = Readable.fromWeb(response.body);
  body.on('data', (piece: Buffer) => progress.at((bytes += piece.length)));
  try {
    await pipeline(body, createWriteStream(path), { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new CommandError(`${url.href} ended after ${bytes} bytes`, { cause: error });
  }
  return path;
}

/** A name of ours: of the address's own only what tells a kind of file is kept. */
export function downloadName({ pathname }: URL): string {
  const [kind = ''] = /(?:\.tar)?\.[A-Za-z0-9]{1,8}$/.exec(pathname) ?? [];
  return `download${kind}`;
}

/** The one disk image in an archive: its bytes only, under a name of ours, wherever the archive would have put it. */
async function unpacked(path: string, directory: string, signal: AbortSignal): Promise<string> {
  const listed = await runTool('tar', ['--list', '--file', path], { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error instanceof BlueprintError ? new CommandError(error.message) : error;
  });
  const images = listed.split('\n').filter((name) => IMAGE.test(name));
  const [member, ...others] = images;
  if (member === undefined) throw new CommandError(`${path} has no raw, qcow2 or vmdk image in it`);
  if (others.length > 0) throw new CommandError(`${path} has several images in it: ${images.join(', ')}`);
  const target = join(directory, `image${member.slice(member.lastIndexOf('.'))}`);
  const child = spawn('tar', ['--extract', '--to-stdout', '--file', path, '--', member], {
    stdio: ['ignore', 'pipe', 'inherit'],
    signal,
  });
  const ended = Promise.withResolvers<number | null>();
  child.on('error', ended.reject);
  child.on('close', ended.resolve);
  try {
    const [, code] = await Promise.all([pipeline(child.stdout, createWriteStream(target), { signal }), ended.promise]);
    if (code !== 0) throw new CommandError(`${member} cannot be read from ${path}`);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return target;
}

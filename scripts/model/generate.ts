/** All generated files as text, by path from the root of the project; nothing is written. */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DocumentationFile } from '#src/client/help/documentation.ts';
import type { ModelFile } from '#wire/aws/model.ts';
import { readDeclarations } from './declarations.ts';
import { distil } from './distil.ts';
import { distilDocuments, writtenDocuments } from './documents.ts';
import { emitJson, emitTypes } from './emit.ts';
import { overlays } from './overlay.ts';
import { serviceSources, type ServiceSource } from './sources.ts';

export async function generate(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  const models = [...(await Promise.all(serviceSources.map(modelOf))), rbinModel()];
  for (const { model, documents } of models) {
    files.set(`src/wire/aws/models/${model.service}.json`, emitJson(model));
    files.set(`src/wire/aws/models/${model.service}.ts`, emitTypes(model));
    files.set(`src/wire/aws/docs/${model.service}.json`, emitJson(documents));
  }
  return files;
}

interface Distilled {
  readonly model: ModelFile;
  readonly documents: DocumentationFile;
}

async function modelOf(source: ServiceSource): Promise<Distilled> {
  const manifestPath = fileURLToPath(import.meta.resolve(`${source.package}/package.json`));
  const manifest = JSON.parse(readFileSync(manifestPath, 'utf8')) as { readonly version: string };
  const model = distil({
    source,
    packageVersion: manifest.version,
    exports: (await import(source.package)) as Readonly<Record<string, unknown>>,
    declarations: readDeclarations(dirname(manifestPath)),
    overlay: overlays[source.service],
  });
  const documents = distilDocuments({
    model,
    packageName: `${source.package} ${manifest.version}`,
    packageDirectory: dirname(manifestPath),
  });
  return { model, documents };
}

/** Recycle Bin's, written by hand from its API reference: its package has no schemas. */
function rbinModel(): Distilled {
  const model = JSON.parse(readFileSync(new URL('rbin.json', import.meta.url), 'utf8')) as ModelFile;
  return { model, documents: writtenDocuments(model, new URL('rbin-documents.json', import.meta.url)) };
}

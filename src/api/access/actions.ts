import { readFileSync } from 'node:fs';
import type { ServiceName } from '#wire/aws/operations.ts';

/** Made by scripts/access/build.ts from the service authorization reference; see docs/access.md. */
const file = JSON.parse(readFileSync(new URL('actions.json', import.meta.url), 'utf8')) as Readonly<
  Record<ServiceName, Readonly<Record<string, readonly string[]>>>
>;

const types: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(file).flatMap(([service, actions]) =>
    Object.entries(actions).map(([action, list]) => [`${service}:${action}`, list] as const),
  ),
);

/** The types of resources that an action is decided on; none: it is decided on `*`, as is every operation that the reference does not have. */
export function actionTypes(service: ServiceName, operation: string): readonly string[] {
  return types.get(`${service}:${operation}`) ?? [];
}

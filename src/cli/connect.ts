import type { ConfigOptions } from '#src/config.ts';
import { askServer } from './admin-client.ts';
import { CommandError } from './command-error.ts';

/** The NBD URI of a volume or snapshot, by its Lightsail name or its id. */
export async function nbdUri(options: ConfigOptions, nameOrId: string): Promise<string> {
  const reply = await askServer(options, 'GET', `/connect?${new URLSearchParams({ name: nameOrId }).toString()}`);
  if (typeof reply === 'object' && reply !== null && 'uri' in reply && typeof reply.uri === 'string') return reply.uri;
  throw new CommandError('the server answered something else than an address; is it of another version?');
}

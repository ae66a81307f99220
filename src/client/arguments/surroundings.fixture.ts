import { Writable } from 'node:stream';
import type { Surroundings } from '#client/command.ts';

/** Surroundings without an environment, and what was written to their standard error. */
export function surroundingsOf(): { readonly surroundings: Surroundings; readonly written: () => string } {
  let text = '';
  const sink = (): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString();
        done();
      },
    });
  const surroundings: Surroundings = {
    environment: {},
    home: '/nonexistent',
    stdout: sink(),
    stderr: sink(),
    localServer: () => Promise.resolve(null),
  };
  return { surroundings, written: () => text };
}

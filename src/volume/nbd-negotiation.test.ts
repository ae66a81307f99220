import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INFO, OPTION, OPTION_REPLY } from '#wire/nbd/constants.ts';
import type { NbdExports } from './nbd-export.ts';
import {
  SessionRig,
  clientFlags,
  infoRequest,
  metaContexts,
  option,
  parseOptionReplies,
} from './nbd-session-rig.fake.ts';
import { TestDevice } from './nbd-test-device.fake.ts';

const MIB = 1024 * 1024;

function rig(options: Partial<ConstructorParameters<typeof SessionRig>[0]> = {}): SessionRig {
  const made = new SessionRig({ device: new TestDevice(MIB), ...options });
  made.transport.take();
  return made;
}

/** What the server answers to these options, after the client flags. */
async function haggle(made: SessionRig, ...options: readonly Buffer[]): Promise<ReturnType<typeof parseOptionReplies>> {
  made.transport.feed(clientFlags(3));
  for (const one of options) made.transport.feed(one);
  await made.settle();
  return parseOptionReplies(made.transport.take());
}

test('GO tells the export, its name and description if wanted, block sizes, and begins transmission', async () => {
  const made = rig();
  const replies = await haggle(made, option(OPTION.go, infoRequest('vol', [INFO.name, INFO.description])));
  assert.deepEqual(
    replies.map(({ reply }) => reply),
    [OPTION_REPLY.info, OPTION_REPLY.info, OPTION_REPLY.info, OPTION_REPLY.info, OPTION_REPLY.ack],
  );
  assert.deepEqual(
    replies.slice(0, 4).map(({ data }) => data.readUInt16BE()),
    [INFO.export, INFO.name, INFO.description, INFO.blockSize],
  );
  assert.equal(replies[0]?.data.readBigUInt64BE(2), BigInt(MIB));
  assert.equal(replies[1]?.data.toString('utf8', 2), 'vol');
  assert.equal(replies[2]?.data.toString('utf8', 2), 'a disk');
  made.request({ command: 3, cookie: 9n });
  await made.settle();
  assert.deepEqual(made.answers(), [[9, 0]]);
});

test('INFO tells the same and stays in the handshake', async () => {
  const made = rig({ admit: () => false });
  const replies = await haggle(made, option(OPTION.info, infoRequest('', [])), option(OPTION.abort));
  assert.deepEqual(
    replies.map(({ reply }) => reply),
    [OPTION_REPLY.info, OPTION_REPLY.info, OPTION_REPLY.ack, OPTION_REPLY.ack],
  );
  assert.equal(made.transport.finished, true);
});

test('an unknown name, and an export with too many clients, are refused and the handshake goes on', async () => {
  const made = rig({ admit: () => false });
  const replies = await haggle(
    made,
    option(OPTION.go, infoRequest('other', [])),
    option(OPTION.go, infoRequest('vol', [])),
    option(OPTION.list),
  );
  assert.deepEqual(
    replies.map(({ reply }) => reply),
    [OPTION_REPLY.unknownExport, OPTION_REPLY.policy, OPTION_REPLY.server, OPTION_REPLY.ack],
  );
});

test('EXPORT_NAME of an unknown export ends the connection', async () => {
  const made = rig();
  assert.deepEqual(await haggle(made, option(OPTION.exportName, Buffer.from('other'))), []);
  assert.equal(made.transport.destroyed, true);
});

test('EXPORT_NAME opens an export for a client of the first newstyle, with the zeroes', async () => {
  const made = rig();
  made.transport.feed(clientFlags(0));
  made.transport.feed(option(OPTION.exportName, Buffer.from('vol')));
  await made.settle();
  const reply = made.transport.take();
  assert.equal(reply.length, 134);
  assert.equal(reply.readBigUInt64BE(), BigInt(MIB));
  made.request({ command: 3, cookie: 1n });
  await made.settle();
  assert.deepEqual(made.answers(), [[1, 0]]);
});

test('a client of the first newstyle has no other option', async () => {
  const made = rig();
  made.transport.feed(clientFlags(0));
  made.transport.feed(option(OPTION.list));
  await made.settle();
  assert.equal(made.transport.destroyed, true);
});

test('options that are not known, TLS among them, are skipped and answered', async () => {
  const replies = await haggle(
    rig(),
    option(OPTION.startTls),
    option(4242, Buffer.alloc(32 * 1024)),
    option(OPTION.list, Buffer.alloc(1)),
    option(OPTION.structuredReply, Buffer.alloc(1)),
    option(OPTION.go, Buffer.alloc(3)),
  );
  assert.deepEqual(
    replies.map(({ option, reply }) => [option, reply]),
    [
      [OPTION.startTls, OPTION_REPLY.unsupported],
      [4242, OPTION_REPLY.unsupported],
      [OPTION.list, OPTION_REPLY.invalid],
      [OPTION.structuredReply, OPTION_REPLY.invalid],
      [OPTION.go, OPTION_REPLY.invalid],
    ],
  );
});

test('an option too long to skip is said to be, and the connection ends', async () => {
  const made = rig();
  const replies = await haggle(made, option(4242, Buffer.alloc(0), 64 * 1024 + 1));
  assert.deepEqual(
    replies.map(({ reply }) => reply),
    [OPTION_REPLY.tooBig],
  );
  assert.equal(made.transport.finished, true);
});

test('haggling has an end', async () => {
  const made = rig({ limits: { optionsMax: 3 } });
  const replies = await haggle(made, ...Array.from({ length: 5 }, () => option(OPTION.list)));
  assert.equal(replies.length, 6);
  assert.equal(made.transport.destroyed, true);
});

test('a wrong magic and unknown client flags end the connection', async () => {
  const magic = rig();
  await haggle(magic, Buffer.alloc(16));
  assert.equal(magic.transport.destroyed, true);
  const flags = rig();
  flags.transport.feed(clientFlags(4));
  await flags.settle();
  assert.equal(flags.transport.destroyed, true);
});

test('a client that does not open an export in time is cut, one that did is not', async () => {
  const idle = rig();
  await idle.clock.advance(9_999);
  assert.equal(idle.transport.destroyed, false);
  await idle.clock.advance(1);
  assert.equal(idle.transport.destroyed, true);
  const busy = rig();
  await busy.open();
  await busy.clock.advance(86_400_000);
  assert.equal(busy.transport.destroyed, false);
});

test('metadata contexts need structured replies, and are listed by name or namespace', async () => {
  const status = metaContexts('', ['base:allocation', 'qemu:dirty-bitmap:x']);
  const replies = await haggle(
    rig(),
    option(OPTION.setMetaContext, status),
    option(OPTION.structuredReply),
    option(OPTION.setMetaContext, status),
    option(OPTION.listMetaContext, metaContexts('', [])),
    option(OPTION.listMetaContext, metaContexts('', ['base:'])),
    option(OPTION.listMetaContext, metaContexts('', ['other:'])),
    option(OPTION.setMetaContext, metaContexts('other', ['base:allocation'])),
  );
  assert.deepEqual(
    replies.map(({ reply, data }) => (reply === OPTION_REPLY.metaContext ? data.toString('utf8', 4) : reply)),
    [
      OPTION_REPLY.invalid,
      OPTION_REPLY.ack,
      'base:allocation',
      OPTION_REPLY.ack,
      'base:allocation',
      OPTION_REPLY.ack,
      'base:allocation',
      OPTION_REPLY.ack,
      OPTION_REPLY.ack,
      OPTION_REPLY.unknownExport,
    ],
  );
});

test('a context that was selected for another name does not count', async () => {
  const made = rig();
  await haggle(
    made,
    option(OPTION.structuredReply),
    option(OPTION.setMetaContext, metaContexts('vol', ['base:allocation'])),
    option(OPTION.go, infoRequest('', [])),
  );
  made.request({ command: 7, cookie: 1n, length: 512 });
  const [reply] = made.replies();
  assert.ok(reply?.kind === 'chunk' && reply.type === 0x8001 && reply.payload.readUInt32BE() === 22);
});

test('a client that leaves while its export is looked up is not served', async () => {
  const lookup = Promise.withResolvers<null>();
  const exports: NbdExports = { resolve: () => lookup.promise, list: async () => null };
  const made = rig({ exports });
  await haggle(made, option(OPTION.go, infoRequest('vol', [])));
  made.transport.destroy();
  await made.settle();
  let done = false;
  void made.session.done.then(() => (done = true));
  await made.settle();
  assert.equal(done, false, 'the lookup is not over');
  lookup.resolve(null);
  await made.settle();
  assert.equal(done, true);
});

test('exports that cannot be looked up end the connection, and a refused list is a matter of policy', async () => {
  const failing = rig({
    exports: {
      resolve: async () => {
        throw new Error('out of order');
      },
      list: async () => null,
    },
  });
  const replies = await haggle(failing, option(OPTION.list), option(OPTION.go, infoRequest('vol', [])));
  assert.deepEqual(
    replies.map(({ reply }) => reply),
    [OPTION_REPLY.policy],
  );
  assert.equal(failing.transport.finished, true);
});

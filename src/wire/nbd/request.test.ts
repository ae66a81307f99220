import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMAND, COMMAND_FLAG, ERRNO, REQUEST_BYTES_MAX } from './constants.ts';
import { blankRequest, decodeRequest, encodeRequest, requestErrno, type Request, type Terms } from './request.ts';

const SIZE = 64 * 1024 * 1024;
const terms: Terms = { sizeBytes: SIZE, readOnly: false, structured: true, blockStatus: true };

function errno(request: Partial<Request>, changed: Partial<Terms> = {}): number {
  return requestErrno({ ...blankRequest(), ...request }, { ...terms, ...changed });
}

test('a request is read back as it was written', () => {
  const bytes = encodeRequest({
    flags: 5,
    command: 6,
    cookie: 0xfedcba9876543210n,
    offset: 2 ** 45 + 7,
    length: 0xffffffff,
  });
  const request = blankRequest();
  assert.equal(decodeRequest(Buffer.concat([Buffer.from('xx'), bytes]), 2, request), true);
  assert.deepEqual(request, {
    flags: 5,
    command: 6,
    cookieHigh: 0xfedcba98 | 0,
    cookieLow: 0x76543210,
    offset: 2 ** 45 + 7,
    length: 0xffffffff,
  });
});

test('a wrong magic is no request', () => {
  const bytes = encodeRequest({ command: 0, cookie: 1n });
  bytes[3] = 0x14;
  assert.equal(decodeRequest(bytes, 0, blankRequest()), false);
});

test('an offset that no number holds is beyond every export', () => {
  const bytes = encodeRequest({ command: COMMAND.read, cookie: 1n, offset: 0xffff_ffff_ffff_f000n, length: 8192 });
  const request = blankRequest();
  decodeRequest(bytes, 0, request);
  assert.equal(requestErrno(request, terms), ERRNO.EINVAL);
});

test('a range must lie inside the export', () => {
  const { read, write, writeZeroes, trim, cache, blockStatus } = COMMAND;
  for (const command of [read, write, writeZeroes, trim, cache, blockStatus]) {
    assert.equal(errno({ command, offset: SIZE - 512, length: 512 }), ERRNO.none);
    assert.equal(errno({ command, offset: 0, length: 0 }), ERRNO.EINVAL, `nothing, command ${command}`);
    const beyond = command === write || command === writeZeroes ? ERRNO.ENOSPC : ERRNO.EINVAL;
    assert.equal(errno({ command, offset: SIZE - 512, length: 513 }), beyond, `beyond, command ${command}`);
    assert.equal(errno({ command, offset: SIZE, length: 1 }), beyond);
  }
});

test('a read-only export permits no change', () => {
  for (const command of [COMMAND.write, COMMAND.writeZeroes, COMMAND.trim]) {
    assert.equal(errno({ command, length: 512 }, { readOnly: true }), ERRNO.EPERM);
  }
  assert.equal(errno({ command: COMMAND.flush }, { readOnly: true }), ERRNO.none);
  assert.equal(errno({ command: COMMAND.read, length: 1 }, { readOnly: true }), ERRNO.none);
});

test('FUA goes with every command, other flags only with their own', () => {
  for (const command of Object.values(COMMAND)) {
    const length = command === COMMAND.flush ? 0 : 512;
    assert.equal(errno({ command, length, flags: COMMAND_FLAG.fua }), ERRNO.none, `FUA, command ${command}`);
    assert.equal(errno({ command, length, flags: 1 << 5 }), ERRNO.EINVAL, `unknown flag, command ${command}`);
    const dfErrno = command === COMMAND.read ? ERRNO.none : ERRNO.EINVAL;
    assert.equal(errno({ command, length, flags: COMMAND_FLAG.df }), dfErrno);
    const zeroErrno = command === COMMAND.writeZeroes ? ERRNO.none : ERRNO.EINVAL;
    assert.equal(errno({ command, length, flags: COMMAND_FLAG.noHole | COMMAND_FLAG.fastZero }), zeroErrno);
    const oneErrno = command === COMMAND.blockStatus ? ERRNO.none : ERRNO.EINVAL;
    assert.equal(errno({ command, length, flags: COMMAND_FLAG.reqOne }), oneErrno);
  }
});

test('data over the limit are refused, ranges without data are not', () => {
  const length = REQUEST_BYTES_MAX + 1;
  assert.equal(errno({ command: COMMAND.read, length: REQUEST_BYTES_MAX }), ERRNO.none);
  assert.equal(errno({ command: COMMAND.read, length }), ERRNO.EINVAL);
  assert.equal(errno({ command: COMMAND.read, length, flags: COMMAND_FLAG.df }), ERRNO.EOVERFLOW);
  assert.equal(errno({ command: COMMAND.write, length }), ERRNO.EINVAL);
  assert.equal(errno({ command: COMMAND.writeZeroes, length }), ERRNO.none);
});

test('what was not agreed on is refused', () => {
  assert.equal(errno({ command: COMMAND.blockStatus, length: 512 }, { blockStatus: false }), ERRNO.EINVAL);
  assert.equal(
    errno({ command: COMMAND.read, length: 512, flags: COMMAND_FLAG.df }, { structured: false }),
    ERRNO.EINVAL,
  );
  assert.equal(errno({ command: 8, length: 512 }), ERRNO.EINVAL);
  assert.equal(errno({ command: 0xffff }), ERRNO.EINVAL);
});

test('a flush has no range', () => {
  assert.equal(errno({ command: COMMAND.flush, length: 1 }), ERRNO.EINVAL);
  assert.equal(errno({ command: COMMAND.flush, offset: 1 }), ERRNO.EINVAL);
});

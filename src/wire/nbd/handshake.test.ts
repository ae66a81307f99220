import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXPORT_FLAG } from './constants.ts';
import {
  decodeClientFlags,
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeName,
  decodeOptionHeader,
  encodeExportNameReply,
  encodeHello,
  encodeInfoBlockSize,
  encodeInfoExport,
  encodeOptionReply,
  exportFlags,
} from './handshake.ts';

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

test('a server greets with both magics and its flags', () => {
  assert.deepEqual(encodeHello(), Buffer.from('NBDMAGICIHAVEOPT\x00\x03', 'latin1'));
});

test('client flags that were not offered are refused', () => {
  assert.deepEqual(decodeClientFlags(hex('00000003'), 0), { fixedNewstyle: true, noZeroes: true });
  assert.deepEqual(decodeClientFlags(hex('00000000'), 0), { fixedNewstyle: false, noZeroes: false });
  assert.equal(decodeClientFlags(hex('00000004'), 0), null);
  assert.equal(decodeClientFlags(hex('80000001'), 0), null);
});

test('an option header needs its magic', () => {
  assert.deepEqual(decodeOptionHeader(hex('49484156454f5054 00000007 0000000a'), 0), { option: 7, dataBytes: 10 });
  assert.equal(decodeOptionHeader(hex('49484156454f5055 00000007 0000000a'), 0), null);
});

test('the data of INFO and GO are a name and a list, and nothing more', () => {
  assert.deepEqual(decodeInfoRequest(hex('00000002 6869 0002 0001 0003')), { name: 'hi', infos: [1, 3] });
  assert.deepEqual(decodeInfoRequest(hex('00000000 0000')), { name: '', infos: [] });
  assert.equal(decodeInfoRequest(hex('00000002 6869 0002 0001')), null, 'fewer infos than said');
  assert.equal(decodeInfoRequest(hex('00000002 6869 0000 00')), null, 'a byte too many');
  assert.equal(decodeInfoRequest(hex('ffffffff 6869 0000')), null, 'a name longer than the data');
  assert.equal(decodeInfoRequest(hex('0000')), null, 'no length');
});

test('a list of queries that lies about its length is refused without reading it', () => {
  assert.deepEqual(decodeMetaContextRequest(hex('00000001 61 00000001 00000005 626173653a')), {
    name: 'a',
    queries: ['base:'],
  });
  assert.equal(decodeMetaContextRequest(hex('00000001 61 ffffffff 00000005 626173653a')), null);
});

test('a name is UTF-8 without NUL, up to 4096 bytes', () => {
  assert.equal(decodeName(Buffer.from('größe')), 'größe');
  assert.equal(decodeName(Buffer.from('a\0b')), null);
  assert.equal(decodeName(hex('c328')), null);
  assert.equal(decodeName(Buffer.alloc(4096, 0x61))?.length, 4096);
  assert.equal(decodeName(Buffer.alloc(4097, 0x61)), null);
});

test('option replies carry the option that they answer', () => {
  assert.deepEqual(encodeOptionReply(7, 3, hex('0102')), hex('0003e889045565a9 00000007 00000003 00000002 0102'));
});

test('sizes over four gigabytes and block sizes are told', () => {
  assert.deepEqual(encodeInfoExport(2 ** 40 + 1, 0x0d), hex('0000 0000010000000001 000d'));
  assert.deepEqual(encodeInfoBlockSize(), hex('0003 00000001 00001000 02000000'));
});

test('the answer to EXPORT_NAME has its zeroes unless the client does without', () => {
  assert.equal(encodeExportNameReply(512, 1, false).length, 134);
  assert.equal(encodeExportNameReply(512, 1, true).length, 10);
});

test('an export offers what can be done with it', () => {
  const writable = exportFlags({ readOnly: false, structured: true });
  const readOnly = exportFlags({ readOnly: true, structured: false });
  const { sendTrim, sendWriteZeroes, sendFastZero, sendDf, sendFlush, sendFua, canMultiConn } = EXPORT_FLAG;
  assert.equal(writable & EXPORT_FLAG.readOnly, 0);
  assert.ok([sendTrim, sendWriteZeroes, sendFastZero, sendDf].every((flag) => (writable & flag) !== 0));
  assert.equal(readOnly & (sendTrim | sendWriteZeroes | sendFastZero | sendDf), 0);
  assert.ok([EXPORT_FLAG.readOnly, sendFlush, sendFua, canMultiConn].every((flag) => (readOnly & flag) !== 0));
});

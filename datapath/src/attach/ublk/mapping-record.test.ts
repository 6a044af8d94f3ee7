// Records of mappings: what is written is read again, and what is damaged is not believed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseMappingRecord } from './mapping-record.ts';

const encode = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const OWNER = { pid: 4711, startTicks: 99, bootId: 'b' };
const GOOD = { version: 1, name: 'v1', deviceId: 3, owner: OWNER };

test('a record names its mapping, its device and its owner', () => {
  assert.equal(parseMappingRecord(encode(GOOD), 'v1'), { name: 'v1', deviceId: 3, owner: OWNER });
  assert.equal(parseMappingRecord(encode({ ...GOOD, deviceId: null, owner: null }), 'v1'), {
    name: 'v1',
    deviceId: null,
    owner: null,
  });
});

test('torn, foreign, later or impossible records are not believed', () => {
  for (const text of ['', '{', 'null', '[]', '7', '"v1"']) assert.is(parseMappingRecord(encode(text), 'v1'), null, text);
  for (const change of [
    { version: 2 },
    { name: 'v2' },
    { deviceId: -1 },
    { deviceId: 1.5 },
    { deviceId: '3' },
    { owner: {} },
    { owner: { ...OWNER, pid: 0 } },
    { owner: { ...OWNER, bootId: 1 } },
  ]) {
    assert.is(parseMappingRecord(encode({ ...GOOD, ...change }), 'v1'), null, JSON.stringify(change));
  }
});

test.run();

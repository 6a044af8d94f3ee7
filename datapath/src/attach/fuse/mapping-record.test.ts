// Records of mappings: what is written is read again, and what is damaged is not believed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseMappingRecord } from './mapping-record.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const HOLDER = { pid: 4711, startTicks: 99, bootId: 'b' };

test('a record names its mapping and its holder', () => {
  const record = { name: 'v1', holder: HOLDER };
  assert.equal(parseMappingRecord(encode(JSON.stringify({ version: 1, ...record })), 'v1'), record);
  assert.equal(parseMappingRecord(encode('{"version":1,"name":"v1","holder":null}'), 'v1'), { name: 'v1', holder: null });
});

test('torn, foreign, later or impossible records are not believed', () => {
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '7',
    '{"version":2,"name":"v1","holder":null}',
    '{"version":1,"name":"v2","holder":null}',
  ]) {
    assert.is(parseMappingRecord(encode(text), 'v1'), null, text);
  }
  for (const holder of [{}, 7, { ...HOLDER, pid: 1 }, { ...HOLDER, pid: '4711' }, { ...HOLDER, bootId: 1 }]) {
    assert.is(parseMappingRecord(encode(JSON.stringify({ version: 1, name: 'v1', holder })), 'v1'), null);
  }
});

test.run();

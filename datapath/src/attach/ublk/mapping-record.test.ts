// Records of mappings: what is damaged or impossible is not believed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MAPPING_RECORD } from './mapping-record.ts';

const OWNER = { pid: 4711, startTicks: 99, bootId: 'b' };
const GOOD = { deviceId: 3, owner: OWNER };
const NOTHING = { name: 'v1', deviceId: null, owner: null };

test('a record names its mapping, its device and its owner', () => {
  assert.equal(MAPPING_RECORD.decode(GOOD, 'v1', ''), { name: 'v1', deviceId: 3, owner: OWNER });
  assert.equal(MAPPING_RECORD.decode({ ...GOOD, owner: null }, 'v1', ''), { name: 'v1', deviceId: 3, owner: null });
});

test('damaged or impossible records say their name only', () => {
  assert.equal(MAPPING_RECORD.decode(null, 'v1', ''), NOTHING);
  for (const change of [
    { deviceId: undefined },
    { deviceId: -1 },
    { deviceId: 1.5 },
    { deviceId: '3' },
    { owner: undefined },
    { owner: {} },
    { owner: { ...OWNER, pid: 0 } },
    { owner: { ...OWNER, bootId: 1 } },
  ]) {
    assert.equal(MAPPING_RECORD.decode({ ...GOOD, ...change }, 'v1', ''), NOTHING, JSON.stringify(change));
  }
});

test.run();

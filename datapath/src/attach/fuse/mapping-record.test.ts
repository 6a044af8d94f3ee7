// Records of mappings: a holder that cannot be one is not believed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MAPPING_RECORD } from './mapping-record.ts';

const HOLDER = { pid: 4711, startTicks: 99, bootId: 'b' };

test('a record names its mapping and its holder', () => {
  assert.equal(MAPPING_RECORD.decode({ holder: HOLDER }, 'v1', ''), { name: 'v1', holder: HOLDER });
  assert.equal(MAPPING_RECORD.decode({ holder: null }, 'v1', ''), { name: 'v1', holder: null });
});

test('damaged or impossible records name no holder', () => {
  assert.equal(MAPPING_RECORD.decode(null, 'v1', ''), { name: 'v1', holder: null });
  for (const holder of [undefined, {}, 7, { ...HOLDER, pid: 1 }, { ...HOLDER, pid: '4711' }, { ...HOLDER, bootId: 1 }]) {
    assert.equal(MAPPING_RECORD.decode({ holder }, 'v1', ''), { name: 'v1', holder: null });
  }
});

test.run();

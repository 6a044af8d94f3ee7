import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { diskUuid, storeUuid } from '../../base/ids.ts';
import { GiB, MiB, TiB } from '../../base/sizes.ts';
import { decodeHead, encodeHead, type Head } from './head-page.ts';
import { isGeometrySane, planGeometry } from './layout.ts';
import { TestRandom } from './testing/test-random.ts';

const HEAD: Head = {
  storeUuid: storeUuid('00112233-4455-4677-8899-aabbccddeeff'),
  diskUuid: diskUuid('01234567-89ab-4def-8123-456789abcdef'),
  geometry: planGeometry(64 * MiB),
  headSequence: 5,
  isClean: true,
  tableLimit: 96,
  logTailPosition: 2 ** 32 + 512,
  logTailSequence: 9,
  logSecret: 0x1_0000_0002,
  createdMs: 1_700_000_000_000,
};

test('the head of format 1 is these bytes', () => {
  const bytes = Buffer.from(encodeHead(HEAD));
  assert.is(
    bytes.toString('hex', 0, 48),
    '504653544f5245000100000001000000' + '00112233445546778899aabbccddeeff' + '0123456789ab4def8123456789abcdef',
  );
  assert.is(
    bytes.toString('hex', 48, 88),
    '0500000000000000' + '0000000400000000' + '00000100' + '00100000' + '0000100000000000' + '0000400000000000',
  );
  assert.is(
    bytes.toString('hex', 88, 120),
    '0000500000000000' + '0000520000000000' + '0000540000000000' + 'ac030000' + '60000000',
  );
  assert.is(
    bytes.toString('hex', 120, 156),
    '0002000001000000' + '0900000000000000' + '0200000001000000' + '0068e5cf8b010000' + '00400500',
  );
  assert.is(bytes.toString('hex', 508), '04f2ceac');
  assert.equal(decodeHead(bytes), { kind: 'head', head: HEAD });
});

test('what is not a head is called by what it is', () => {
  const bytes = encodeHead(HEAD);
  assert.equal(decodeHead(new Uint8Array(512)), { kind: 'blank' });
  assert.equal(decodeHead(new Uint8Array(512).fill(7)), { kind: 'foreign' });
  for (let at = 8; at < 512; at += 1) {
    const damaged = bytes.slice();
    damaged[at]! ^= 1;
    assert.equal(decodeHead(damaged), { kind: 'corrupt' }, `byte ${at}`);
  }
});

test('random bytes behind the magic never make a head', () => {
  const random = new TestRandom(1);
  for (let round = 0; round < 2000; round += 1) {
    const bytes = encodeHead(HEAD);
    for (let change = 0; change < 8; change += 1) bytes[8 + random.below(504)] = random.below(256);
    assert.is(decodeHead(bytes).kind, 'corrupt');
  }
});

test('every disk size is cut into regions that lie in order and inside', () => {
  for (const size of [16 * MiB, 17 * MiB + 12345, 100 * MiB, GiB, 10 * GiB, TiB, 16 * TiB]) {
    const geometry = planGeometry(size);
    assert.ok(isGeometrySane(geometry), `${size}`);
    const unused = geometry.capacityBytes - geometry.dataOffset - geometry.extentCount * 65536;
    assert.ok(unused < 3 * 65536, `${unused} bytes of ${size} are unused`);
  }
  assert.is(planGeometry(16 * MiB).logBytes, 4 * MiB);
  assert.is(planGeometry(GiB).logBytes, 64 * MiB);
  assert.is(planGeometry(TiB).logBytes, 256 * MiB);
  assert.throws(() => planGeometry(15 * MiB), /at least 16 MiB/);
});

test.run();

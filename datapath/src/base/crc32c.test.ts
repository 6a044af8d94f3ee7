// The portable CRC32C: the values that RFC 3720 (B.4) and the catalogues publish, and continuation.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from './crc32c.ts';

test('crc32c() has the published values', () => {
  const of = (bytes: Uint8Array): number => crc32c(bytes, 0, bytes.length, 0);
  assert.is(of(new TextEncoder().encode('123456789')), 0xe3069283);
  assert.is(of(new Uint8Array(32)), 0x8a9136aa);
  assert.is(of(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.is(of(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e);
  assert.is(of(Uint8Array.from({ length: 32 }, (_, index) => 31 - index)), 0x113fdb5c);
  assert.is(of(new Uint8Array(0)), 0);
});

test('crc32c() of a whole equals the one continued from any cut', () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, index) => index * 37);
  for (let cut = 0; cut <= 100; cut += 1) {
    assert.is(crc32c(bytes, cut, 100 - cut, crc32c(bytes, 0, cut, 0)), 0x074e40f1, `cut at ${cut}`);
  }
});

test('crc32c() reads only its range', () => {
  const bytes = new Uint8Array(64).fill(0xaa);
  bytes.set(new TextEncoder().encode('123456789'), 13);
  assert.is(crc32c(bytes, 13, 9, 0), 0xe3069283);
});

test.run();

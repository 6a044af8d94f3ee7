import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatMicros, formatSeconds } from './iso-time.ts';

test('known moments, to the second', () => {
  assert.is(formatSeconds(0), '1970-01-01T00:00:00Z');
  assert.is(formatSeconds(951_782_399_000), '2000-02-28T23:59:59Z');
  assert.is(formatSeconds(951_782_400_999), '2000-02-29T00:00:00Z');
  assert.is(formatSeconds(1_767_225_599_999), '2025-12-31T23:59:59Z');
});

test('to the microsecond', () => {
  assert.is(formatMicros(1_767_225_599_007.25), '2025-12-31T23:59:59.007250Z');
});

test('agrees with Date over four centuries, one moment of every few days', () => {
  for (let at = -11_676_096_000_000; at < 13_569_465_600_000; at += 4.3 * 86_400_000 + 12_345_678) {
    const ms = Math.floor(at);
    assert.is(formatSeconds(ms), `${new Date(ms).toISOString().slice(0, 19)}Z`);
  }
});

test.run();

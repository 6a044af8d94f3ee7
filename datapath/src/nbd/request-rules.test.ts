import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BlockDevice } from '../block/device.ts';
import { refusalOf, rulesFor } from './request-rules.ts';

const [READ, WRITE, FLUSH, TRIM, CACHE, ZEROES, STATUS] = [0, 1, 3, 4, 5, 6, 7];
const [FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO] = [1, 2, 4, 8, 16];
const [EPERM, EINVAL, ENOSPC, EOVERFLOW] = [1, 22, 28, 75];
const MiB = 1024 * 1024;
const SIZE = 64 * MiB;

function device(changes: Partial<BlockDevice>): BlockDevice {
  const plain = { sizeBytes: SIZE, minimumIoBytes: 1, preferredIoBytes: 4096, maximumIoBytes: MiB, isReadOnly: false };
  const rest = {
    canTrim: true,
    canZeroFast: false,
    canMultiConnect: true,
    submit() {},
    extents: async () => [],
    close: async () => {},
  };
  return { ...plain, ...rest, ...changes };
}

function refusals(changes: Partial<BlockDevice>, cases: readonly [number, number, number, number, number][]): void {
  const rules = rulesFor(device(changes), true, true);
  for (const [command, flags, offset, length, error] of cases) {
    assert.is(
      refusalOf(rules, command, flags, offset, length),
      error,
      `command ${command} flags ${flags} at ${offset} length ${length}`,
    );
  }
}

test('a device that has grown is served to its new end', () => {
  const growing = { ...device({}), sizeBytes: SIZE };
  const rules = rulesFor(growing, false, false);
  assert.is(refusalOf(rules, READ, 0, SIZE, 4096), EINVAL);
  growing.sizeBytes = SIZE + MiB;
  assert.is(refusalOf(rules, READ, 0, SIZE, 4096), 0);
  assert.is(refusalOf(rules, WRITE, 0, SIZE + MiB, 4096), ENOSPC);
});

test('requests past the end: ENOSPC for what writes, EINVAL for the rest', () => {
  refusals({}, [
    [READ, 0, SIZE - 1, 1, 0],
    [READ, 0, SIZE - 1, 2, EINVAL],
    [READ, 0, 2 ** 63, 1, EINVAL],
    [WRITE, 0, SIZE, 1, ENOSPC],
    [ZEROES, 0, SIZE - 10, 11, ENOSPC],
    [TRIM, 0, SIZE - 10, 11, EINVAL],
    [CACHE, 0, SIZE - 10, 11, EINVAL],
    [STATUS, 0, SIZE - 10, 11, EINVAL],
  ]);
});

test('length zero is no reason to refuse, but for a map', () => {
  refusals({}, [
    [READ, 0, 0, 0, 0],
    [WRITE, 0, SIZE, 0, 0],
    [TRIM, 0, 0, 0, 0],
    [STATUS, 0, 0, 0, EINVAL],
  ]);
});

test('every flag is allowed only where it belongs; FUA everywhere', () => {
  for (const command of [READ, WRITE, FLUSH, TRIM, CACHE, ZEROES, STATUS]) {
    refusals({}, [
      [command, FUA, 0, 512, 0],
      [command, 0x8000, 0, 512, EINVAL],
      [command, NO_HOLE, 0, 512, command === ZEROES ? 0 : EINVAL],
      [command, DF, 0, 512, command === READ ? 0 : EINVAL],
      [command, REQ_ONE, 0, 512, command === STATUS ? 0 : EINVAL],
      [command, FAST_ZERO, 0, 512, EINVAL],
    ]);
  }
  refusals({ canZeroFast: true }, [[ZEROES, FAST_ZERO | NO_HOLE | FUA, 0, 512, 0]]);
});

test('DF needs structured replies, BLOCK_STATUS a selected context', () => {
  const rules = rulesFor(device({}), false, false);
  assert.is(refusalOf(rules, READ, DF, 0, 512), EINVAL);
  assert.is(refusalOf(rules, STATUS, 0, 0, 512), EINVAL);
});

test('payloads over 32 MiB are refused, effects are not; DF is refused beyond one chunk', () => {
  refusals({ sizeBytes: 256 * MiB }, [
    [READ, 0, 0, 32 * MiB, 0],
    [READ, 0, 0, 32 * MiB + 1, EINVAL],
    [WRITE, 0, 0, 33 * MiB, EINVAL],
    [ZEROES, 0, 0, 256 * MiB, 0],
    [TRIM, 0, 0, 256 * MiB, 0],
    [READ, DF, 0, MiB, 0],
    [READ, DF, 0, MiB + 1, EOVERFLOW],
  ]);
});

test('read-only devices refuse every change with EPERM, whatever its range', () => {
  refusals({ isReadOnly: true }, [
    [WRITE, 0, SIZE, 512, EPERM],
    [TRIM, 0, 0, 512, EPERM],
    [ZEROES, 0, 0, 512, EPERM],
    [FLUSH, 0, 0, 0, 0],
    [READ, 0, 0, 512, 0],
  ]);
});

test("alignment is the device's; TRIM only where the device trims; unknown commands are refused", () => {
  refusals({ minimumIoBytes: 512, canTrim: false }, [
    [READ, 0, 512, 1024, 0],
    [READ, 0, 1, 512, EINVAL],
    [READ, 0, 0, 100, EINVAL],
    [WRITE, 0, 100, 512, EINVAL],
    [TRIM, 0, 0, 512, EINVAL],
    [8, 0, 0, 512, EINVAL],
    [65535, 0, 0, 512, EINVAL],
  ]);
});

test.run();

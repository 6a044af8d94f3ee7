import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../base/crc32c.ts';
import { Arena } from './arena.ts';
import { ECANCELED } from './completion.ts';
import { MemoryBlocks } from './memory-blocks.ts';
import { OUTPUT_BLOCK_BYTES, OutputQueue } from './output-queue.ts';
import { TurnQueue } from './turn-queue.ts';

/** Counts what is lent out, so that leaks and double returns are seen. */
class CountedBlocks extends MemoryBlocks {
  readonly lent = new Set<number>();

  override take(): number {
    const block = super.take();
    assert.not.ok(this.lent.has(block), 'a block was lent twice');
    this.lent.add(block);
    return block;
  }

  override give(block: number): void {
    assert.ok(this.lent.delete(block), 'a block came back twice');
    super.give(block);
  }
}

function setUp(): { queue: OutputQueue; blocks: CountedBlocks; memory: Arena } {
  const memory = new Arena(new ArrayBuffer(8 << 20), crc32c, new TurnQueue(() => {}));
  const blocks = new CountedBlocks(memory, OUTPUT_BLOCK_BYTES);
  return { queue: new OutputQueue(blocks), blocks, memory };
}

const lengths = (queue: OutputQueue): number[] => Array.from({ length: queue.segmentCount }, (_, index) => queue.lengthAt(index));

test('output that adjoins is one segment; owned memory is its own', () => {
  const { queue } = setUp();
  queue.reserve(10);
  queue.reserve(20);
  queue.pushOwned(4096, 512, { complete() {} });
  queue.reserve(30);
  assert.equal(lengths(queue), [30, 512, 30]);
  assert.is(queue.queuedBytes, 572);
});

test('a segment that is being sent does not grow', () => {
  const { queue } = setUp();
  queue.reserve(10);
  queue.seal(1);
  queue.reserve(20);
  assert.equal(lengths(queue), [10, 20]);
});

test('advance() completes what has left whole, in order, and keeps the rest of a part', () => {
  const { queue, blocks } = setUp();
  const done: string[] = [];
  queue.reserve(10);
  queue.pushOwned(4096, 100, { complete: (result) => done.push(`a ${result}`) });
  queue.pushOwned(8192, 100, { complete: (result) => done.push(`b ${result}`) });
  queue.advance(115);
  assert.equal(done, ['a 0']);
  assert.equal(lengths(queue), [95]);
  assert.is(queue.offsetAt(0), 8197);
  queue.advance(95);
  assert.equal(done, ['a 0', 'b 0']);
  assert.is(queue.queuedBytes, 0);
  assert.is(blocks.lent.size, 0);
});

test('cancel() gives every completion its errno and every block back', () => {
  const { queue, blocks } = setUp();
  const results: number[] = [];
  for (let count = 0; count < 20; count += 1) {
    queue.reserve(20_000);
    queue.pushOwned(4096, 100, { complete: (result) => results.push(result) });
  }
  queue.advance(20_050);
  queue.cancel(ECANCELED);
  assert.equal(results, Array(20).fill(ECANCELED));
  assert.is(queue.segmentCount, 0);
  assert.is(blocks.lent.size, 0);
});

test('bytes come out as they went in, for random output, sends and completions that write again', () => {
  let seed = 1;
  const below = (n: number): number => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % n;
  const { queue, blocks, memory } = setUp();
  const expected: number[] = [];
  const got: number[] = [];
  const put = (offset: number, length: number): void => {
    for (let at = 0; at < length; at += 1) {
      memory.bytes[offset + at] = below(256);
      expected.push(memory.bytes[offset + at]!);
    }
  };
  const pushOwned = (): void => {
    const length = 1 + below(3000);
    const slot = memory.acquireSlot(length);
    put(slot, length);
    queue.pushOwned(slot, length, {
      complete(result) {
        assert.is(result, 0);
        memory.bytes.fill(0, slot, slot + length);
        memory.releaseSlot(slot);
        if (below(4) === 0) put(queue.reserve(9), 9);
      },
    });
  };
  const send = (): void => {
    const count = Math.min(queue.segmentCount, 1 + below(5));
    if (count === 0) return;
    queue.seal(count);
    let total = 0;
    for (let index = 0; index < count; index += 1) total += queue.lengthAt(index);
    if (below(2) === 0) put(queue.reserve(50), 50);
    const sent = 1 + below(total);
    let left = sent;
    for (let index = 0; left > 0; index += 1) {
      const length = Math.min(left, queue.lengthAt(index));
      const offset = queue.offsetAt(index);
      for (let at = 0; at < length; at += 1) got.push(memory.bytes[offset + at]!);
      left -= length;
    }
    queue.advance(sent);
  };
  for (let step = 0; step < 600; step += 1) {
    const length = 1 + below(9000);
    if (below(3) === 0) put(queue.reserve(length), length);
    if (below(3) === 0) pushOwned();
    if (below(3) === 0) send();
  }
  while (queue.segmentCount > 0) send();
  assert.is(got.length, expected.length);
  assert.ok(got.every((byte, index) => byte === expected[index]));
  assert.is(blocks.lent.size, 0);
});

test.run();

// When the completion of a send ends the loop's sleep: a send that nobody waits for is quiet, and is heeded from the moment on
// when somebody does. The kernel is scripted.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '../../base/errors.ts';
import { ECANCELED } from '../completion.ts';
import { MemoryBlocks } from '../memory-blocks.ts';
import { OUTPUT_BLOCK_BYTES } from '../output-queue.ts';
import { ReceiveBuffers } from './receive-buffers.ts';
import { CQE_BUFFER_SHIFT, CQE_HAS_BUFFER, OP_RECV, OP_SEND, OP_SENDMSG } from './ring.ts';
import { MESSAGE_BLOCK_BYTES, RingStream } from './ring-stream.ts';
import { ScriptedKernel, type Entry } from './testing/scripted-kernel.ts';

const FD = 77;

interface Opened {
  readonly kernel: ScriptedKernel;
  readonly stream: RingStream;
  /** The receive that every open stream has in flight. */
  readonly receive: Entry;
  /** How the stream ended: error codes, or "peer". */
  readonly ends: string[];
}

/** The test body for uvu: a stream that must be closed at the end, with nothing heeded any more. */
function onStream(body: (opened: Opened) => void): () => void {
  return () => {
    const kernel = new ScriptedKernel();
    const { ring, turn } = kernel;
    const { memory, addressLow, addressHigh } = kernel.mapping;
    const outputBlocks = new MemoryBlocks(memory, OUTPUT_BLOCK_BYTES);
    const messageBlocks = new MemoryBlocks(memory, MESSAGE_BLOCK_BYTES);
    const receiveBuffers = new ReceiveBuffers(ring, memory, addressLow, addressHigh);
    const shared = { ...kernel.mapping, turn, outputBlocks, ring, addon: kernel, messageBlocks, receiveBuffers };
    let isGone = false;
    const stream = new RingStream(FD, 'script', shared, () => (isGone = true));
    const ends: string[] = [];
    const onClosed = (error: PfError | null): void => void ends.push(error?.code ?? 'peer');
    stream.handler = { onBytes() {}, onDirect() {}, onClosed };
    kernel.endTurn();
    const receive = kernel.takeOne();
    assert.equal([receive.opcode, receive.fd], [OP_RECV, FD]);
    try {
      body({ kernel, stream, receive, ends });
      assert.is(isGone, true);
      assert.is(kernel.heeded, 0);
    } finally {
      stream.destroy();
      kernel.cancelAll();
      kernel.close();
    }
  };
}

/** Writes so many bytes and returns the send that leaves at the end of the turn. */
function send({ kernel, stream }: Opened, length: number): Entry {
  stream.reserve(length);
  kernel.endTurn();
  const entry = kernel.takeOne();
  assert.equal([entry.opcode, entry.fd, entry.length], [OP_SEND, FD, length]);
  return entry;
}

/** destroy() with nothing but the receive in flight. */
function destroy({ kernel, stream, receive, ends }: Opened): void {
  stream.destroy();
  kernel.complete(receive, -ECANCELED);
  assert.equal(ends, ['CANCELLED']);
}

test(
  'a send that nobody waits for is quiet, and stays so',
  onStream((opened) => {
    const { kernel } = opened;
    for (let round = 0; round < 3; round += 1) {
      const entry = send(opened, 10);
      assert.is(entry.isQuiet, true);
      assert.is(kernel.heeded, 0);
      kernel.complete(entry, 10);
      assert.is(kernel.heeded, 0);
    }
    assert.equal(kernel.take(), []);
    destroy(opened);
  }),
);

test(
  'output that waits behind a quiet send makes it heeded, once, until it has left',
  onStream((opened) => {
    const { kernel, stream } = opened;
    const first = send(opened, 10);
    stream.reserve(20);
    assert.is(kernel.heeded, 1);
    stream.reserve(30);
    assert.is(kernel.heeded, 1, 'heeded once, however much waits');
    kernel.endTurn();
    assert.equal(kernel.take(), [], 'one send at a time');
    kernel.complete(first, 10);
    assert.is(kernel.heeded, 0);
    const second = kernel.takeOne();
    assert.equal([second.length, second.isQuiet], [50, true], 'what had waited leaves at once, and nobody waits for that');
    kernel.complete(second, 50);
    assert.is(kernel.heeded, 0);
    destroy(opened);
  }),
);

test(
  'the rest of a short send leaves at once',
  onStream((opened) => {
    const { kernel } = opened;
    kernel.complete(send(opened, 10), 4);
    const rest = kernel.takeOne();
    assert.equal([rest.length, kernel.heeded], [6, 0]);
    kernel.complete(rest, 6);
    destroy(opened);
  }),
);

test(
  'a send whose owner waits for it is never quiet, and needs no heed',
  onStream((opened) => {
    const { kernel, stream } = opened;
    const results: number[] = [];
    const slot = kernel.mapping.memory.acquireSlot(4096);
    stream.reserve(10);
    stream.writeOwned(slot, 4096, { complete: (result) => results.push(result) });
    kernel.endTurn();
    const entry = kernel.takeOne();
    assert.equal([entry.opcode, entry.isQuiet], [OP_SENDMSG, false]);
    stream.reserve(20);
    assert.is(kernel.heeded, 0);
    kernel.complete(entry, 4106);
    assert.equal(results, [0]);
    kernel.complete(kernel.takeOne(), 20);
    destroy(opened);
  }),
);

test(
  'end() heeds the send in flight and goes on as soon as it has left',
  onStream((opened) => {
    const { kernel, stream, receive, ends } = opened;
    const entry = send(opened, 10);
    stream.end();
    assert.is(kernel.heeded, 1);
    stream.end();
    assert.is(kernel.heeded, 1);
    kernel.complete(entry, 10);
    assert.is(kernel.heeded, 0);
    assert.equal(kernel.calls, ['shutdown 77 write']);
    kernel.complete(receive, 0);
    assert.equal(kernel.calls, ['shutdown 77 write', 'shutdown 77 both', 'close 77']);
    assert.equal(ends, ['peer']);
  }),
);

test(
  'what end() sends is not quiet',
  onStream(({ kernel, stream, receive }) => {
    stream.reserve(10);
    stream.end();
    kernel.endTurn();
    const entry = kernel.takeOne();
    assert.is(entry.isQuiet, false);
    kernel.complete(entry, 10);
    kernel.complete(receive, 0);
  }),
);

test(
  "the peer's end heeds the send in flight",
  onStream((opened) => {
    const { kernel, receive, ends } = opened;
    const entry = send(opened, 10);
    kernel.complete(receive, 0);
    assert.is(kernel.heeded, 1);
    kernel.complete(entry, 10);
    assert.equal(ends, ['peer']);
  }),
);

test(
  'destroy() heeds the send in flight and is over when both operations are',
  onStream((opened) => {
    const { kernel, stream, receive, ends } = opened;
    const entry = send(opened, 10);
    stream.destroy();
    assert.is(kernel.heeded, 1);
    kernel.complete(receive, 5, CQE_HAS_BUFFER | (3 << CQE_BUFFER_SHIFT));
    assert.equal([kernel.heeded, ends.length], [1, 0]);
    kernel.complete(entry, -ECANCELED);
    assert.is(kernel.heeded, 0);
    assert.equal(ends, ['CANCELLED']);
    assert.equal(kernel.calls, ['shutdown 77 both', 'close 77']);
  }),
);

test.run();

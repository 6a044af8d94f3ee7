// Hand-written histories: the good ones pass, each bad one is caught.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SeededRandom } from '../seeded-random.ts';
import { BlockHistory } from './block-history.ts';
import type { ReadOperation, WriteOperation } from './block-history.ts';

const newHistory = (): BlockHistory => new BlockHistory({ volumeTag: 7, sizeBytes: 1 << 20 });

/** The bytes that a disk would hold after exactly this write. */
function payload(history: BlockHistory, operation: WriteOperation): Uint8Array {
  const bytes = new Uint8Array(operation.length);
  history.fill(operation, bytes, 0);
  return bytes;
}

const ZEROS = new Uint8Array(512);

/** One client's write of sector 0, answered with 0. */
function acknowledged(history: BlockHistory, client = 'a'): Uint8Array {
  const write = history.writeStarted(client, 0, 512);
  history.writeDone(write, 0);
  return payload(history, write);
}

function reads(history: BlockHistory, bytes: Uint8Array, client = 'r'): void {
  history.readDone(history.readStarted(client, 0, 512), bytes);
}

test('good: zeros first, then each acknowledged write, then zeros after a trim', () => {
  const history = newHistory();
  reads(history, ZEROS);
  reads(history, acknowledged(history));
  reads(history, acknowledged(history));
  history.writeDone(history.trimStarted('a', 0, 4096), 0);
  reads(history, ZEROS);
  reads(history, acknowledged(history));
  assert.is(history.sectorsChecked, 5);
});

test('good: a read during a write sees the old or the new, and both orders of concurrent writes are fine', () => {
  const history = newHistory();
  const old = acknowledged(history);
  const write = history.writeStarted('a', 0, 512);
  reads(history, old);
  reads(history, payload(history, write));
  history.writeDone(write, 0);
  const [left, right] = [history.writeStarted('a', 0, 512), history.writeStarted('b', 0, 512)];
  history.writeDone(right, 0);
  history.writeDone(left, 0);
  reads(history, payload(history, right));
  reads(history, payload(history, right));
});

test('good: a write without an answer may be there, may not, and may land late', () => {
  const history = newHistory();
  const old = acknowledged(history);
  const lost = history.writeStarted('a', 0, 512);
  history.clientDied('a');
  reads(history, old);
  reads(history, payload(history, lost));
  reads(history, payload(history, lost));
  const failed = history.writeStarted('b', 0, 512);
  history.writeDone(failed, 5);
  reads(history, payload(history, lost));
  reads(history, payload(history, failed));
});

test('good: a slow read may return what was overwritten while it was under way', () => {
  const history = newHistory();
  const old = acknowledged(history);
  const slow = history.readStarted('r', 0, 512);
  const newer = acknowledged(history);
  reads(history, newer);
  history.readDone(slow, old);
});

test('good: a snapshot shows what was there when it was taken', () => {
  const history = newHistory();
  const old = acknowledged(history);
  const snapshot = history.readStarted('snapshot', 0, 512);
  history.closeWindow(snapshot);
  acknowledged(history);
  reads(history, acknowledged(history));
  history.readDone(snapshot, old);
});

test('bad: a snapshot that shows what came after it', () => {
  const history = newHistory();
  acknowledged(history);
  const snapshot = history.readStarted('snapshot', 0, 512);
  history.closeWindow(snapshot);
  const newer = acknowledged(history);
  assert.throws(() => history.readDone(snapshot, newer), /content from after its time: write 2 of a/);
});

test('bad: an acknowledged write is lost (zeros, or an older write)', () => {
  const zeros = newHistory();
  acknowledged(zeros);
  assert.throws(
    () => reads(zeros, ZEROS),
    /sector 0 of volume tag 7 .* found by the read of r, 0\+512.*zeros that were read.*write 1 of a/,
  );
  const older = newHistory();
  const old = acknowledged(older);
  acknowledged(older);
  assert.throws(() => reads(older, old), /stale bytes of write 1 of a|each was certainly there/);
});

test('bad: stale content although nobody read in between, with a slow read keeping the past alive', () => {
  const history = newHistory();
  const old = acknowledged(history);
  history.readStarted('slow', 0, 512);
  acknowledged(history);
  assert.throws(() => reads(history, old), /each was certainly there before the other was last seen/);
});

test('bad: flicker of an unanswered write: seen, gone, whether or not it comes again', () => {
  const history = newHistory();
  const old = acknowledged(history);
  const lost = history.writeStarted('b', 0, 512);
  history.clientDied('b');
  reads(history, payload(history, lost));
  assert.throws(() => reads(history, old), /stale|certainly/);
  const fresh = newHistory();
  const first = fresh.writeStarted('b', 0, 512);
  fresh.writeDone(first, 5);
  reads(fresh, payload(fresh, first));
  assert.throws(() => reads(fresh, ZEROS), /zeros that were read/);
});

test('bad: two concurrent writes are seen in alternation', () => {
  const history = newHistory();
  const [left, right] = [history.writeStarted('a', 0, 512), history.writeStarted('b', 0, 512)];
  reads(history, payload(history, left));
  reads(history, payload(history, right));
  assert.throws(() => reads(history, payload(history, left)), /stale|certainly/);
});

test('good: what one client has under way at once may be seen in alternation, since it may be sent twice', () => {
  const history = newHistory();
  const [left, right] = [history.writeStarted('a', 0, 512), history.writeStarted('a', 0, 512)];
  reads(history, payload(history, left));
  reads(history, payload(history, right));
  reads(history, payload(history, left));
  const trim = history.trimStarted('a', 0, 512);
  reads(history, ZEROS);
  reads(history, payload(history, right));
  history.writeDone(left, 0);
  history.writeDone(trim, 0);
  history.writeDone(right, 0);
  reads(history, payload(history, right));
  const newer = acknowledged(history);
  reads(history, newer);
  assert.throws(() => reads(history, payload(history, right)), /stale|certainly/);
});

test('bad: a write under way is seen, and then what was there before it', () => {
  const history = newHistory();
  const old = acknowledged(history);
  const first = history.writeStarted('a', 0, 512);
  history.writeStarted('a', 0, 512);
  reads(history, payload(history, first));
  assert.throws(() => reads(history, old), /stale|certainly/);
});

test('bad: two acknowledged concurrent writes are seen one after the other', () => {
  const history = newHistory();
  const [left, right] = [history.writeStarted('a', 0, 512), history.writeStarted('b', 0, 512)];
  history.writeDone(left, 0);
  history.writeDone(right, 0);
  reads(history, payload(history, left));
  assert.throws(() => reads(history, payload(history, right)), /stale bytes of write 2 of b/);
});

test('bad: trimmed content comes back; zeros return after a write that followed the trim', () => {
  const back = newHistory();
  const old = acknowledged(back);
  back.writeDone(back.trimStarted('a', 0, 512), 0);
  assert.throws(() => reads(back, old), /stale|certainly/);
  const again = newHistory();
  again.writeDone(again.trimStarted('a', 0, 512), 0);
  acknowledged(again);
  assert.throws(() => reads(again, ZEROS), /zeros that were read/);
});

test('good and bad: of a concurrent write and trim either may win, but the winner stays', () => {
  for (const winner of ['write', 'trim', 'write during a slow read']) {
    const history = newHistory();
    if (winner.endsWith('read')) history.readStarted('slow', 0, 512);
    const trim = history.trimStarted('a', 0, 512);
    const write = history.writeStarted('b', 0, 512);
    history.writeDone(write, 0);
    history.writeDone(trim, 0);
    const [won, lost] = winner !== 'trim' ? [payload(history, write), ZEROS] : [ZEROS, payload(history, write)];
    reads(history, won);
    reads(history, won);
    assert.throws(() => reads(history, lost), /stale|certainly/);
  }
});

test('good and bad: a trim without an answer may zero later, but only once', () => {
  const history = newHistory();
  const first = acknowledged(history);
  history.trimStarted('b', 0, 1 << 20);
  history.clientDied('b');
  reads(history, first);
  reads(history, ZEROS);
  assert.throws(() => reads(history, first), /stale|certainly/);
});

test('good: a trim of the whole volume under way covers sectors that are first written during it', () => {
  const history = newHistory();
  const trim = history.trimStarted('b', 0, 1 << 20);
  acknowledged(history);
  reads(history, ZEROS);
  history.writeDone(trim, 0);
  reads(history, ZEROS);
});

test('bad: a write of a fenced client appears after the fence', () => {
  const history = newHistory();
  const old = acknowledged(history, 'a');
  const late = history.writeStarted('a', 0, 512);
  history.clientDied('a');
  history.clientFenced('a');
  reads(history, old);
  assert.throws(() => reads(history, payload(history, late)), /certainly/);
  const second = newHistory();
  const zombie = second.writeStarted('a', 0, 512);
  second.clientFenced('a');
  acknowledged(second, 'b');
  assert.throws(() => reads(second, payload(second, zombie)), /stale|certainly/);
});

test('good: a write of a fenced client that landed in time may be seen', () => {
  const history = newHistory();
  acknowledged(history, 'a');
  const last = history.writeStarted('a', 0, 512);
  history.clientFenced('a');
  reads(history, payload(history, last));
  reads(history, acknowledged(history, 'b'));
});

test('bad: foreign, misplaced, torn, invented and never-written bytes', () => {
  const history = newHistory();
  const other = new BlockHistory({ volumeTag: 8, sizeBytes: 1 << 20 });
  assert.throws(() => reads(history, payload(other, other.writeStarted('x', 0, 512))), /foreign bytes: write 1 of volume tag 8/);
  const elsewhere = history.writeStarted('a', 512, 512);
  assert.throws(() => reads(history, payload(history, elsewhere)), /misplaced bytes: sector 1 of write 1/);
  const [first, second] = [history.writeStarted('a', 0, 512), history.writeStarted('a', 0, 512)];
  const torn = payload(history, first);
  torn.set(payload(history, second).subarray(300), 300);
  assert.throws(() => reads(history, torn), /pattern broken at byte 300: a torn or rotten sector/);
  assert.throws(() => reads(history, new Uint8Array(512).fill(1)), /bytes that nobody wrote: 01 01/);
  const future = payload(newHistory(), { ...first, number: 99 } as WriteOperation);
  assert.throws(() => reads(history, future), /write 99, which this volume never had there/);
});

test('a multi-sector write may be seen in part while it is unanswered, and not after', () => {
  const history = newHistory();
  const write = history.writeStarted('a', 0, 1024);
  const half = payload(history, write);
  half.fill(0, 512);
  history.readDone(history.readStarted('r', 0, 1024), half);
  history.writeDone(write, 0);
  assert.throws(() => history.readDone(history.readStarted('r', 0, 1024), half), /sector 1/);
});

/** A register that behaves, driven at random: each operation takes effect at a random moment between start and answer. */
function randomRun(seed: number, sabotage: boolean): void {
  const random = new SeededRandom(seed);
  const history = newHistory();
  let content: Uint8Array = ZEROS;
  let past: Uint8Array[] = [ZEROS];
  const running: { write?: WriteOperation; read?: ReadOperation; isApplied: boolean; seen: Uint8Array }[] = [];
  for (let step = 0; step < 400; step += 1) {
    const action = random.below(4);
    if (action === 0 && running.length < 5) {
      const client = `c${random.below(4)}`;
      if (random.chance(0.5)) running.push({ read: history.readStarted(client, 0, 512), isApplied: false, seen: ZEROS });
      else if (random.chance(0.8)) running.push({ write: history.writeStarted(client, 0, 512), isApplied: false, seen: ZEROS });
      else running.push({ write: history.trimStarted(client, 0, 512), isApplied: false, seen: ZEROS });
    }
    const chosen = running[random.below(Math.max(1, running.length))];
    if (chosen === undefined) continue;
    if (!chosen.isApplied) {
      chosen.isApplied = true;
      if (chosen.write !== undefined) {
        content = chosen.write.kind === 'zero' ? ZEROS : payload(history, chosen.write);
        past.push(content);
      } else {
        chosen.seen = sabotage && step > 200 ? random.pick(past) : content;
      }
    } else if (action > 1) {
      running.splice(running.indexOf(chosen), 1);
      if (chosen.write !== undefined && random.chance(0.15)) history.writeDone(chosen.write, 5);
      else if (chosen.write !== undefined) history.writeDone(chosen.write, 0);
      else history.readDone(chosen.read!, chosen.seen);
      past = past.slice(-4);
    }
  }
}

test('500 random honest histories pass; of 200 sabotaged ones nearly all are caught', () => {
  for (let seed = 1; seed <= 500; seed += 1) randomRun(seed, false);
  let caught = 0;
  for (let seed = 1; seed <= 200; seed += 1) {
    try {
      randomRun(seed, true);
    } catch (error) {
      assert.is((error as Error).name, 'Violation');
      caught += 1;
    }
  }
  assert.ok(caught > 190, `caught ${caught} of 200`);
});

test.run();

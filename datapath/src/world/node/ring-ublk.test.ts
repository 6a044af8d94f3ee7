// The queue of a ublk device over a scripted ring: what it submits, word by word, and when memory is given back. A kernel's: e2e/vm.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TurnQueue } from '../turn-queue.ts';
import type { NativeUblk, NativeUblkDevice } from './native-addon.ts';
import { RingUblkQueue, type UblkSurroundings } from './ring-ublk.ts';
import type { RingOperation } from './ring.ts';

const [FETCH, COMMIT, GET_DATA] = [0xc0107520, 0xc0107521, 0xc0107522] as const;
/** Of arena offset 0. */
const [LOW, HIGH] = [0x10000000, 0x7f12] as const;

class Rig {
  readonly turn = new TurnQueue(() => {});
  readonly pushed: number[][] = [];
  readonly operations: (RingOperation | null)[] = [];
  readonly seen: string[] = [];
  readonly queue: RingUblkQueue;
  submits = 0;
  canSubmit = true;
  isClosed = false;

  constructor() {
    const ring = {
      register: (operation: RingOperation) => this.operations.push(operation) - 1,
      unregister: (index: number) => (this.operations[index] = null),
      pushCommand: (...words: number[]) => void this.pushed.push(words),
      submit: () => {
        this.submits += 1;
        return this.canSubmit;
      },
    };
    const addon: Pick<NativeUblk, 'closeUblk'> = { closeUblk: () => void (this.isClosed = true) };
    const surroundings = { ring, addon, turn: this.turn, addressLow: LOW, addressHigh: HIGH } as unknown as UblkSurroundings;
    const device: NativeUblkDevice = { handle: {}, fd: 9, descriptors: new ArrayBuffer(2 * 24) };
    this.queue = new RingUblkQueue(device, surroundings);
    this.queue.start({
      commandDone: (tag, result) => void this.seen.push(`done ${tag} ${result}`),
      commitsTaken: () => void this.seen.push('taken'),
    });
    for (const tag of [0, 1]) this.queue.fetch(tag);
  }
}

test('commands have the tag, the result and the address where the kernel looks for them', () => {
  const { queue, pushed } = new Rig();
  queue.getData(1, 0x3000);
  queue.commit(0, -5, 0);
  queue.commit(1, 4096, 0x3000);
  assert.equal(pushed, [
    [9, FETCH, 0, 0, 0, 0, 0],
    [9, FETCH, 0x10000, 0, 0, 0, 1],
    [9, GET_DATA, 0x10000, 0, LOW + 0x3000, HIGH, 1],
    [9, COMMIT, 0, -5, LOW, HIGH, 0],
    [9, COMMIT, 0x10000, 4096, LOW + 0x3000, HIGH, 1],
  ]);
  assert.is(queue.descriptors.length, 12);
});

test('a turn with commits ends with one submission, after which their memory is free; others leave with the loop', () => {
  const rig = new Rig();
  rig.queue.getData(0, 0x1000);
  rig.turn.run();
  assert.equal([rig.submits, rig.seen], [0, []]);
  for (const tag of [0, 1]) rig.queue.commit(tag, 512, 0x1000);
  assert.equal(rig.seen, []);
  rig.turn.run();
  assert.equal([rig.submits, rig.seen], [1, ['taken']]);
});

test('while the kernel cannot take all of it, the memory stays taken', () => {
  const rig = new Rig();
  rig.canSubmit = false;
  rig.queue.commit(0, 512, 0x1000);
  rig.turn.run();
  assert.equal(rig.seen, []);
  rig.canSubmit = true;
  rig.turn.run();
  assert.equal(rig.seen, ['taken']);
});

test('answers go to their tags; it closes when none is out, and once', () => {
  const rig = new Rig();
  rig.operations[1]!.ringDone(1, 0);
  assert.throws(() => rig.queue.close());
  rig.operations[0]!.ringDone(-19, 0);
  assert.equal(rig.seen, ['done 1 1', 'done 0 -19']);
  rig.queue.close();
  rig.queue.close();
  assert.equal([rig.isClosed, rig.operations], [true, [null, null]]);
});

test.run();

// What a disk on the ring asks the kernel for, and what it makes of the answers: short transfers, errors, durability.
// The kernel is scripted; the file only has to exist.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB } from '../../base/sizes.ts';
import { EINVAL, EIO, ENOSPC } from '../completion.ts';
import { IoVector, type Disk } from '../disk.ts';
import { OP_FALLOCATE, OP_FSYNC, OP_READ, OP_WRITE, OP_WRITEV } from './ring.ts';
import { RingDisks } from './ring-disk.ts';
import { makeTestFolder } from './test-folder.ts';
import { ScriptedKernel, type Entry } from './testing/scripted-kernel.ts';

const newPath = makeTestFolder();
const [EINTR, EAGAIN, ENOTSUP] = [4, 11, 95];
const [RWF_DSYNC, DATASYNC] = [2, 1];
/** Behind 4 GiB, so that both halves of an offset count. */
const FAR = 5 * GiB;

class Answers {
  readonly results: number[] = [];
  complete(result: number): void {
    this.results.push(result);
  }
}

interface Opened {
  readonly kernel: ScriptedKernel;
  readonly disk: Disk;
  readonly answers: Answers;
  /** Three slots of 4096 bytes. */
  readonly slots: readonly number[];
}

/** The test body for uvu: a sparse disk of 8 GiB, closed afterwards. */
function onDisk(body: (opened: Opened) => Promise<void> | void, discardProbe = 0): () => Promise<void> {
  return async () => {
    const kernel = new ScriptedKernel();
    const disks = new RingDisks(kernel.ring, kernel.mapping, kernel.turn, kernel.tryFlock);
    const opening = disks.open(newPath('disk'), { createSizeBytes: 8 * GiB });
    kernel.complete(await kernel.takeNext(), discardProbe);
    const disk = await opening;
    const { memory } = kernel.mapping;
    try {
      await body({ kernel, disk, answers: new Answers(), slots: [1, 2, 3].map(() => memory.acquireSlot(4096)) });
    } finally {
      kernel.cancelAll();
      await disks.close();
      kernel.close();
    }
  };
}

/** What the kernel would write where. */
function asked({ opcode, offset, memory, length, flags }: Entry): object {
  return { opcode, offset, memory, length, flags };
}

/** The pieces of a vectored entry. */
function piecesOf(kernel: ScriptedKernel, entry: Entry): number[][] {
  const { memory, addressLow, addressHigh } = kernel.mapping;
  return Array.from({ length: entry.length }, (_, index) => {
    const at = entry.memory + index * 16;
    assert.is(memory.view.getUint32(at + 4, true), addressHigh);
    assert.is(memory.view.getUint32(at + 12, true), 0);
    return [memory.view.getUint32(at, true) - addressLow, memory.view.getUint32(at + 8, true)];
  });
}

test(
  'a durable write says so to the kernel, and another one does not',
  onDisk(({ kernel, disk, answers, slots: [slot] }) => {
    const vector = new IoVector();
    vector.push(slot!, 4096);
    for (const isDurable of [true, false]) {
      disk.write(4096, slot!, 4096, isDurable, answers);
      disk.writeVector(8192, vector, isDurable, answers);
    }
    const entries = kernel.take();
    assert.equal(
      entries.map(({ opcode, flags }) => [opcode, flags]),
      [
        [OP_WRITE, RWF_DSYNC],
        [OP_WRITEV, RWF_DSYNC],
        [OP_WRITE, 0],
        [OP_WRITEV, 0],
      ],
    );
    for (const entry of entries) kernel.complete(entry, 4096);
    assert.equal(answers.results, [0, 0, 0, 0]);
  }),
);

test(
  'a flush is answered when the kernel has synced the file, and fails with it',
  onDisk(({ kernel, disk, answers }) => {
    disk.flush(answers);
    kernel.endTurn();
    assert.equal(answers.results, []);
    const entry = kernel.takeOne();
    assert.equal(asked(entry), { opcode: OP_FSYNC, offset: 0, memory: 0, length: 0, flags: DATASYNC });
    kernel.complete(entry, 0);
    assert.equal(answers.results, [0]);
    disk.flush(answers);
    kernel.complete(kernel.takeOne(), -EIO);
    assert.equal(answers.results, [0, EIO]);
  }),
);

test(
  'a short write and a short read are continued where the kernel stopped',
  onDisk(({ kernel, disk, answers, slots: [slot] }) => {
    disk.write(FAR, slot!, 4096, true, answers);
    const write = { opcode: OP_WRITE, flags: RWF_DSYNC };
    let entry = kernel.takeOne();
    assert.equal(asked(entry), { ...write, offset: 5368709120, memory: slot, length: 4096 });
    kernel.complete(entry, 512);
    entry = kernel.takeOne();
    assert.equal(asked(entry), { ...write, offset: 5368709632, memory: slot! + 512, length: 3584 });
    kernel.complete(entry, 3072);
    entry = kernel.takeOne();
    assert.equal(asked(entry), { ...write, offset: 5368712704, memory: slot! + 3584, length: 512 });
    assert.equal(answers.results, []);
    kernel.complete(entry, 512);
    assert.equal(answers.results, [0]);

    disk.read(FAR, slot!, 4096, answers);
    entry = kernel.takeOne();
    assert.equal(asked(entry), { opcode: OP_READ, flags: 0, offset: 5368709120, memory: slot, length: 4096 });
    kernel.complete(entry, 1024);
    entry = kernel.takeOne();
    assert.equal(asked(entry), { opcode: OP_READ, flags: 0, offset: 5368710144, memory: slot! + 1024, length: 3072 });
    kernel.complete(entry, 3072);
    assert.equal(answers.results, [0, 0]);
    assert.is(disk.inFlight, 0);
  }),
);

test(
  'a short gathered write is continued in the middle of a piece, and between two',
  onDisk(({ kernel, disk, answers, slots: [first, second, third] }) => {
    const vector = new IoVector();
    for (const slot of [first!, second!, third!]) vector.push(slot, 4096);
    disk.writeVector(FAR, vector, true, answers);
    // The vector is the caller's again.
    vector.clear();
    const seen: unknown[] = [];
    for (const moved of [5120, 3072, 512, 3584]) {
      const entry = kernel.takeOne();
      seen.push([entry.opcode, entry.flags, entry.offset, piecesOf(kernel, entry)]);
      assert.equal(answers.results, []);
      kernel.complete(entry, moved);
    }
    assert.equal(seen, [
      [
        OP_WRITEV,
        RWF_DSYNC,
        5368709120,
        [
          [first, 4096],
          [second, 4096],
          [third, 4096],
        ],
      ],
      [
        OP_WRITEV,
        RWF_DSYNC,
        5368714240,
        [
          [second! + 1024, 3072],
          [third, 4096],
        ],
      ],
      [OP_WRITEV, RWF_DSYNC, 5368717312, [[third, 4096]]],
      [OP_WRITEV, RWF_DSYNC, 5368717824, [[third! + 512, 3584]]],
    ]);
    assert.equal(answers.results, [0]);
    assert.is(disk.inFlight, 0);
  }),
);

test(
  'an interrupted request is asked again unchanged; an error, or no progress, ends it',
  onDisk(({ kernel, disk, answers, slots: [slot] }) => {
    disk.write(4096, slot!, 4096, true, answers);
    let entry = kernel.takeOne();
    for (const errno of [EINTR, EAGAIN]) {
      kernel.complete(entry, -errno);
      entry = kernel.takeOne();
      assert.equal(asked(entry), { opcode: OP_WRITE, flags: RWF_DSYNC, offset: 4096, memory: slot, length: 4096 });
    }
    kernel.complete(entry, 2048);
    kernel.complete(kernel.takeOne(), -ENOSPC);
    disk.read(4096, slot!, 4096, answers);
    kernel.complete(kernel.takeOne(), 0);
    assert.equal(answers.results, [ENOSPC, EIO]);
    assert.equal(kernel.take(), []);
    assert.is(disk.inFlight, 0);
  }),
);

test(
  'a discard punches a hole of exactly its range; a file system that cannot is no error',
  onDisk(({ kernel, disk, answers }) => {
    assert.is(disk.discardReadsZeros, true);
    disk.discard(FAR, 8192, answers);
    const entry = kernel.takeOne();
    assert.equal(asked(entry), { opcode: OP_FALLOCATE, offset: 5368709120, memory: 8192, length: 3, flags: 0 });
    kernel.complete(entry, 0);
    for (const errno of [ENOTSUP, EIO]) {
      disk.discard(FAR, 8192, answers);
      kernel.complete(kernel.takeOne(), -errno);
    }
    assert.equal(answers.results, [0, 0, EIO]);
  }),
);

test(
  'where holes cannot be punched no zeros are promised',
  onDisk(({ disk }) => assert.is(disk.discardReadsZeros, false), -ENOTSUP),
);

test(
  'close() waits for what is in flight and refuses what comes later, without asking the kernel',
  onDisk(async ({ kernel, disk, answers, slots: [slot] }) => {
    disk.write(4096, slot!, 4096, true, answers);
    const entry = kernel.takeOne();
    let isClosed = false;
    const closing = disk.close().then(() => (isClosed = true));
    disk.flush(answers);
    disk.write(4096, slot!, 4096, false, answers);
    assert.equal(answers.results, [], 'never from within the call that asked');
    kernel.endTurn();
    assert.equal(answers.results, [EINVAL, EINVAL]);
    assert.equal(kernel.take(), []);
    assert.is(isClosed, false);
    kernel.complete(entry, 4096);
    await closing;
    assert.equal(answers.results, [EINVAL, EINVAL, 0]);
  }),
);

test.run();

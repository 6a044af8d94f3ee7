// Arbitrary and damaged requests against the FUSE server: it never throws, answers each whole request exactly once, keeps no slot and
// never reads a field beyond what came. PF_FUZZ_FRAMES sets the number (default 50,000), PF_FUZZ_SEED the seed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../block/memory-device.ts';
import { MiB, ScriptedFuse, fallocateBody, fuseRequest, initBody, ioBody } from './testing/scripted-kernel.ts';

const FRAMES = Number(process.env['PF_FUZZ_FRAMES'] ?? 50_000);
const SEED = Number(process.env['PF_FUZZ_SEED'] ?? 1);
const SILENT = new Set([2, 36, 42]);

let state = SEED >>> 0;

function below(n: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}

function pick<T>(items: readonly T[]): T {
  return items[below(items.length)]!;
}

const OFFSETS = [0, 1, 4096, MiB - 4096, MiB, 2 ** 32, 2 ** 53, 2n ** 63n, 2n ** 64n - 1n];
const SIZES = [0, 1, 512, 4096, 65_536, 65_537, MiB, MiB + 1, 2 ** 32 - 1];

function randomBody(): Buffer {
  const payload = Buffer.alloc(below(2) === 0 ? 0 : pick([1, 512, 4096, 70_000]), below(256));
  const bodies = [
    () => ioBody(pick(OFFSETS), below(2) === 0 ? payload.length : pick(SIZES), payload),
    () => fallocateBody(Number(pick([0, 4096, MiB, 2 ** 40])), pick([0, 4096, MiB, 2 ** 41]), below(64)),
    () => initBody(below(9), below(60), below(2 ** 32), below(2 ** 32)),
    () => Buffer.from(pick(['v1.disk\0', 'v1.disk', '\0', '.\0', 'x'.repeat(300)])),
    () => Buffer.alloc(below(200), below(256)),
  ];
  return pick(bodies)();
}

test(`${FRAMES} requests of seed ${SEED}`, () => {
  const fuse = new ScriptedFuse((memory) => new MemoryDevice(memory, { sizeBytes: MiB }));
  const opcodes = Array.from({ length: 53 }, (_, opcode) => opcode);
  for (let frame = 0; frame < FRAMES; frame += 1) {
    const opcode = below(3) === 0 ? pick([15, 16, 43, 26]) : below(20) === 0 ? below(2 ** 32) : pick(opcodes);
    let bytes = fuseRequest(opcode, BigInt(frame) * 2n, below(4), randomBody());
    if (below(8) === 0) bytes = bytes.subarray(0, below(bytes.length + 1));
    if (below(8) === 0 && bytes.length > 40)
      bytes.writeUInt32LE(below(2 ** 32), 40 + 4 * below((bytes.length - 40) >> 2 || 1) - (bytes.length < 44 ? 4 : 0));
    fuse.replies.length = 0;
    fuse.deliver(bytes);
    fuse.settle();
    const wanted = bytes.length < 40 || SILENT.has(opcode) ? 0 : 1;
    assert.is(fuse.replies.length, wanted, `request ${frame} of seed ${SEED}: ${bytes.subarray(0, 96).toString('hex')}`);
    if (wanted === 0) continue;
    const { error, unique } = fuse.replies[0]!;
    assert.is(unique, BigInt(frame) * 2n);
    assert.ok(error <= 0 && error > -512, `error ${error}`);
    assert.is(fuse.memory.takenSlots, 0);
  }
});

test.run();

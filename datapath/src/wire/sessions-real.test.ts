// Sessions over loopback TCP in the real world, on every port that works here: what the simulated network cannot show.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLogger } from '../world/log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import type { World } from '../world/world.ts';
import { ClientSession } from './client-session.ts';
import { DataListener } from './listener.ts';
import { OP_READ, OP_WRITE } from './messages.ts';
import { STATUS_CONNECTION_LOST, STATUS_OK } from './status.ts';
import { MemoryStore } from './testing/memory-store.ts';
import { fillPattern, patternMatches, TEST_TOKEN, TEST_VOLUME, TestCommand } from './testing/two-machines.ts';

const KiB = 1024;
const OPTIONS = { volumeId: TEST_VOLUME, clientId: 5, token: TEST_TOKEN, depth: 64 };

for (const ports of ['libuv', 'io_uring'] as const) {
  test(`reads, writes and a broken connection over ${ports}`, async () => {
    const world = await openWorld(ports);
    if (world === null) return;
    const store = new MemoryStore(world.memory);
    const listener = await DataListener.open(
      world,
      { kind: 'tcp', host: '127.0.0.1', port: 0 },
      { authorize: () => ({ result: 0, link: store }) },
    );
    const session = await ClientSession.connect(world, listener.address, OPTIONS);
    const sizes = [512, 4 * KiB, 16 * KiB, 20 * KiB, 128 * KiB, 1024 * KiB];
    const writes = sizes.map((length, index) => {
      const memory = world.memory.acquireSlot(length);
      fillPattern(world.memory, memory, length, index);
      return new TestCommand({ opcode: OP_WRITE, offset: index * 1024 * KiB, length, memory });
    });
    for (let round = 0; round < 20; round += 1) {
      for (const status of await Promise.all(writes.map((write) => new TestCommand(write).run(session))))
        assert.is(status, STATUS_OK);
      const reads = writes.map(
        (write) => new TestCommand({ ...write, opcode: OP_READ, memory: world.memory.acquireSlot(write.length) }),
      );
      for (const status of await Promise.all(reads.map((read) => read.run(session)))) assert.is(status, STATUS_OK);
      for (const [index, read] of reads.entries()) {
        assert.ok(patternMatches(world.memory, read.memory, read.length, index), `round ${round} size ${read.length}`);
        world.memory.releaseSlot(read.memory);
      }
    }
    store.isHolding = true;
    const lost = [new TestCommand(writes[5]), new TestCommand(writes[0]), new TestCommand({ ...writes[1], opcode: OP_READ })];
    for (const command of lost) session.submit(command);
    await session.close();
    for (const command of lost) assert.is(command.status, STATUS_CONNECTION_LOST);
    const closing = listener.close();
    store.isHolding = false;
    while (listener.connectionCount > 0) {
      store.release();
      await world.clock.sleep(1);
    }
    await closing;
    await world.close();
  });
}

async function openWorld(ports: 'libuv' | 'io_uring'): Promise<World | null> {
  try {
    return await openNodeWorld({ ports, log: silentLogger, memoryBytes: 64 * 1024 * KiB });
  } catch (error) {
    if (ports === 'io_uring' && (error as { code?: string }).code === 'UNSUPPORTED') return null;
    throw error;
  }
}

test.run();

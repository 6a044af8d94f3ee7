// ClientSession against DataListener, over the simulated network.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '../base/errors.ts';
import { EPERM } from '../world/completion.ts';
import type { Arena } from '../world/arena.ts';
import type { World } from '../world/world.ts';
import { ClientSession, type ClientSessionOptions } from './client-session.ts';
import type { StoreCommand } from './command.ts';
import {
  FLAG_CRC,
  FLAG_FUA,
  OP_FLUSH,
  OP_HEARTBEAT,
  OP_QUERY_WRITTEN,
  OP_READ,
  OP_REPLICATE_WRITE,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from './messages.ts';
import {
  STATUS_CONNECTION_LOST,
  STATUS_DATA_XFER_ERROR,
  STATUS_INVALID_FIELD,
  STATUS_INVALID_OPCODE,
  STATUS_NOT_READY,
  STATUS_OK,
  STATUS_STALE,
} from './status.ts';
import { until } from './testing/raw-peer.ts';
import { fillPattern, patternMatches, TEST_TOKEN, TEST_VOLUME, TestCommand, TwoMachines } from './testing/two-machines.ts';

const MiB = 1024 * 1024;
const OPTIONS: ClientSessionOptions = { volumeId: TEST_VOLUME, clientId: 7, token: TEST_TOKEN, depth: 32 };

test('what was written is read back, at every size at which the path changes', async () => {
  const machines = await TwoMachines.open(1);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    for (const length of [512, 4096, 8192, 16384, 16896, 65536, MiB]) {
      const memory = world.memory.acquireSlot(length);
      fillPattern(world.memory, memory, length, length & 255);
      const offset = 3 * MiB + length * 5;
      assert.is(await new TestCommand({ opcode: OP_WRITE, offset, length, memory }).run(session), STATUS_OK, `write ${length}`);
      world.memory.bytes.fill(0xaa, memory, memory + length);
      const read = new TestCommand({ opcode: OP_READ, offset, length, memory });
      assert.is(await read.run(session), STATUS_OK, `read ${length}`);
      assert.ok(patternMatches(world.memory, memory, length, length & 255), `content ${length}`);
      assert.is(read.flags & FLAG_CRC, FLAG_CRC);
      world.memory.releaseSlot(memory);
    }
    await session.close();
  });
  await machines.storeProcess.perform((world) =>
    until(world, () => machines.listener.connectionCount === 0, 'the session to be forgotten'),
  );
  assert.is((machines.storeProcess.world.memory as Arena).takenSlots, 0);
  assert.is(machines.gone, 1);
});

test('every field of a request arrives', async () => {
  const machines = await TwoMachines.open(2);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    const command = new TestCommand({
      opcode: OP_TRIM,
      flags: FLAG_FUA,
      offset: 2 ** 46 - 4096,
      length: 4096,
      commandSequence: 9,
    });
    command.metaVersion = 0x12345;
    command.attachEpoch = 0xfffffff0;
    assert.is(await command.run(session), STATUS_OK);
  });
  assert.equal(machines.store.seen, [
    {
      opcode: OP_TRIM,
      flags: FLAG_FUA,
      volumeId: TEST_VOLUME,
      offset: 70368744173568,
      length: 4096,
      metaVersion: 0x2345,
      attachEpoch: 0xfffffff0,
      token: TEST_TOKEN,
      sequence: 0,
      commitMark: 0,
      commandSequence: 9,
    },
  ]);
  assert.equal(
    machines.handshakes.map(({ kind, volumeId, clientId, token, depth }) => ({ kind, volumeId, clientId, token, depth })),
    [{ kind: 2, volumeId: TEST_VOLUME, clientId: 7, token: TEST_TOKEN, depth: 32 }],
  );
});

test('a replication connection carries sequence and commit mark, and heartbeats to the handler', async () => {
  const machines = await TwoMachines.open(3);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, { ...OPTIONS, volumeId: 0, silenceLimitMs: 0 });
    const memory = world.memory.acquireSlot(4096);
    const write = new TestCommand({ opcode: OP_REPLICATE_WRITE, offset: 4096, length: 4096, memory });
    write.sequence = 2 ** 40 + 5;
    write.commitMark = 2 ** 40 + 2;
    assert.is(await write.run(session), STATUS_OK);
    const heartbeat = new TestCommand({ opcode: OP_HEARTBEAT, offset: 64 * 1024 * MiB });
    heartbeat.sequence = 100_000;
    heartbeat.commitMark = 10;
    machines.store.judge = (command) => {
      command.replyMetaVersion = 77;
      return STATUS_STALE;
    };
    assert.is(await heartbeat.run(session), STATUS_STALE);
    assert.is(heartbeat.replyMetaVersion, 77);
    assert.is(await new TestCommand({ opcode: OP_WRITE, offset: 0, length: 512, memory }).run(session), STATUS_INVALID_OPCODE);
  });
  const [write, heartbeat] = machines.store.seen;
  assert.equal([write!.sequence, write!.commitMark, write!.token], [2 ** 40 + 5, 2 ** 40 + 2, 0]);
  assert.equal([heartbeat!.offset, heartbeat!.sequence, heartbeat!.commitMark], [64 * 1024 * MiB, 100_000, 0]);
});

test('flush, trim, zeroes and the written map go through', async () => {
  const machines = await TwoMachines.open(4);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    const memory = world.memory.acquireSlot(65536);
    fillPattern(world.memory, memory, 65536, 1);
    await new TestCommand({ opcode: OP_WRITE, offset: 0, length: 65536, memory }).run(session);
    assert.is(await new TestCommand({ opcode: OP_FLUSH }).run(session), STATUS_OK);
    assert.is(await new TestCommand({ opcode: OP_TRIM, offset: 8192, length: 4096 }).run(session), STATUS_OK);
    assert.is(await new TestCommand({ opcode: OP_WRITE_ZEROES, offset: 16384, length: 8192 }).run(session), STATUS_OK);
    const query = new TestCommand({ opcode: OP_QUERY_WRITTEN, offset: 0, length: 80 * 1024, memory });
    assert.is(await query.run(session), STATUS_OK);
    assert.equal([...world.memory.bytes.subarray(memory, memory + 3)], [0b11001011, 0xff, 0]);
  });
});

test('replies are taken in any order and each finds its command', async () => {
  const machines = await TwoMachines.open(5);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    const memory = world.memory.acquireSlot(4096);
    for (let index = 0; index < 8; index += 1) {
      fillPattern(world.memory, memory, 4096, index);
      await new TestCommand({ opcode: OP_WRITE, offset: index * 4096, length: 4096, memory }).run(session);
    }
    machines.store.isHolding = true;
    const reads = Array.from({ length: 8 }, (_, index) => {
      const read = new TestCommand({
        opcode: OP_READ,
        offset: index * 4096,
        length: 4096,
        memory: world.memory.acquireSlot(4096),
      });
      session.submit(read);
      return read;
    });
    await until(world, () => machines.store.held.length === 8, 'eight held reads');
    machines.store.release(true);
    for (const [index, read] of reads.entries()) {
      assert.is(await read.done, STATUS_OK);
      assert.ok(patternMatches(world.memory, read.memory, 4096, index), `read ${index}`);
    }
  });
});

test('no more than the granted depth is in flight; the rest waits, and too much is refused', async () => {
  const machines = await TwoMachines.open(6, { maximumDepth: 4 });
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, { ...OPTIONS, maximumQueued: 10 });
    assert.is(session.depth, 4);
    machines.store.isHolding = true;
    const commands = Array.from({ length: 15 }, () => new TestCommand({ opcode: OP_FLUSH }));
    for (const command of commands) session.submit(command);
    assert.is(commands[14]!.status, STATUS_NOT_READY);
    assert.ok(commands[14]!.isDone);
    await until(world, () => machines.store.held.length === 4, 'four held commands');
    assert.is(session.inFlight, 14);
    machines.store.isHolding = false;
    machines.store.release();
    for (const command of commands.slice(0, 14)) assert.is(await command.done, STATUS_OK);
    assert.is(machines.store.mostHeld, 4);
  });
});

test('a session whose connection breaks gives every command back once, large writes included', async () => {
  const machines = await TwoMachines.open(7);
  await machines.onClient(async (world) => {
    let downs = 0;
    const session = await ClientSession.connect(world, machines.address, {
      ...OPTIONS,
      depth: 4,
      onDown: () => void (downs += 1),
    });
    machines.store.isHolding = true;
    const memory = world.memory.acquireSlot(MiB);
    const commands = Array.from({ length: 6 }, () => new TestCommand({ opcode: OP_WRITE, offset: 0, length: MiB, memory }));
    for (const command of commands) session.submit(command);
    await until(world, () => machines.store.held.length > 0, 'a held write');
    machines.sim.network.resetConnections(machines.clientProcess.host, machines.storeProcess.host);
    for (const command of commands) assert.is(await command.done, STATUS_CONNECTION_LOST);
    assert.is(downs, 1);
    assert.not(session.isUp);
    assert.is(await new TestCommand({ opcode: OP_FLUSH }).run(session), STATUS_CONNECTION_LOST);
    await session.close();
  });
});

test('silence breaks a session after a second, but only while requests wait', async () => {
  const machines = await TwoMachines.open(8);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    await world.clock.sleep(5000);
    assert.ok(session.isUp);
    machines.store.isHolding = true;
    const slow = new TestCommand({ opcode: OP_FLUSH });
    session.submit(slow);
    await world.clock.sleep(10_000);
    assert.ok(session.isUp, 'heartbeats are answered while a request is slow');
    machines.storeProcess.pause();
    const pausedMs = world.clock.now();
    assert.is(await slow.done, STATUS_CONNECTION_LOST);
    const silentMs = world.clock.now() - pausedMs;
    assert.ok(silentMs > 900 && silentMs < 1300, `after ${silentMs} ms`);
    machines.storeProcess.resume();
  });
});

test('a stall of the client itself is not held against the store', async () => {
  const machines = await TwoMachines.open(9);
  const { clientProcess, sim } = machines;
  machines.store.isHolding = true;
  let session!: ClientSession;
  const command = new TestCommand({ opcode: OP_FLUSH });
  await machines.onClient(async (world) => {
    session = await ClientSession.connect(world, machines.address, OPTIONS);
    session.submit(command);
    await world.clock.sleep(1100);
  });
  clientProcess.pause();
  await sim.run(sim.now + 5000);
  clientProcess.resume();
  await sim.run(sim.now + 2000);
  assert.ok(session.isUp);
  machines.store.release();
  assert.is(await sim.settle(command.done), STATUS_OK);
});

test('a slow network is not taken for silence, in either direction', async () => {
  const machines = await TwoMachines.open(18);
  const { links } = machines.sim.network;
  const [client, store] = [machines.clientProcess.host, machines.storeProcess.host];
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    const memory = world.memory.acquireSlot(MiB);
    const write = new TestCommand({ opcode: OP_WRITE, offset: 0, length: MiB, memory });
    const read = new TestCommand({ opcode: OP_READ, offset: 0, length: MiB, memory });
    for (const [from, to] of [
      [client, store],
      [store, client],
    ] as const) {
      links.configure(from, to, { bytesPerMs: 300 });
    }
    const startedMs = world.clock.now();
    assert.is(await write.run(session), STATUS_OK);
    assert.is(await read.run(session), STATUS_OK);
    assert.ok(world.clock.now() - startedMs > 6000, 'three and a half seconds each way');
  });
});

test('a store short of memory says that it lives, and goes on when memory is free', async () => {
  const machines = await TwoMachines.open(10, {}, 8 * MiB);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    const taken: number[] = [];
    const storeMemory = machines.storeProcess.world.memory as Arena;
    for (let slot = storeMemory.acquireSlot(MiB); slot !== 0; slot = storeMemory.acquireSlot(MiB)) taken.push(slot);
    const memory = world.memory.acquireSlot(65536);
    fillPattern(world.memory, memory, 65536, 5);
    const writes = Array.from(
      { length: 6 },
      (_, index) => new TestCommand({ opcode: OP_WRITE, offset: index * 65536, length: 65536, memory }),
    );
    for (const write of writes) session.submit(write);
    await world.clock.sleep(8000);
    assert.ok(session.isUp);
    assert.is(machines.store.seen.length, 0);
    for (const slot of taken) storeMemory.releaseSlot(slot);
    for (const write of writes) assert.is(await write.done, STATUS_OK);
    assert.is(machines.store.blockCount, 96);
    assert.is(storeMemory.takenSlots, 0);
  });
});

test('the payload budget of a connection bounds what it holds', async () => {
  const machines = await TwoMachines.open(11, { payloadBudgetBytes: 256 * 1024 });
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    machines.store.isHolding = true;
    const memory = world.memory.acquireSlot(MiB);
    const writes = Array.from(
      { length: 12 },
      (_, index) => new TestCommand({ opcode: OP_WRITE, offset: index * 65536, length: 65536, memory }),
    );
    for (const write of writes) session.submit(write);
    const large = new TestCommand({ opcode: OP_READ, offset: 0, length: MiB, memory: world.memory.acquireSlot(MiB) });
    session.submit(large);
    while (!large.isDone) {
      machines.store.release();
      await world.clock.sleep(1);
    }
    assert.is(machines.store.mostHeld, 4);
    assert.is(large.status, STATUS_OK);
  });
});

test('a client that does not read its replies stops being read', async () => {
  const machines = await TwoMachines.open(12);
  const { sim } = machines;
  let session!: ClientSession;
  const reads: TestCommand[] = [];
  await machines.onClient(async (world) => {
    session = await ClientSession.connect(world, machines.address, { ...OPTIONS, depth: 255 });
    for (let index = 0; index < 600; index += 1)
      reads.push(
        new TestCommand({
          opcode: OP_READ,
          offset: 0,
          length: 16384,
          memory: world.memory.acquireSlot(16384) || reads[0]!.memory,
        }),
      );
    for (const read of reads) session.submit(read);
    await world.clock.sleep(0);
  });
  machines.clientProcess.pause();
  await sim.run(sim.now + 3000);
  assert.ok(machines.store.seen.length < 200, `${machines.store.seen.length} reads were taken from a client that reads nothing`);
  machines.clientProcess.resume();
  for (const read of reads) assert.is(await sim.settle(read.done), STATUS_OK);
});

test('payloads that change on the way are refused in both directions', async () => {
  const machines = await TwoMachines.open(13);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    const memory = world.memory.acquireSlot(4096);
    const write = new TestCommand({ opcode: OP_WRITE, flags: FLAG_CRC, offset: 0, length: 4096, memory });
    write.payloadCrc = 12345;
    assert.is(await write.run(session), STATUS_DATA_XFER_ERROR);
    assert.is(machines.store.seen.length, 0);
    machines.store.judge = (command: StoreCommand) => {
      command.flags |= FLAG_CRC;
      command.payloadCrc = 54321;
      return STATUS_OK;
    };
    assert.is(await new TestCommand({ opcode: OP_READ, offset: 0, length: 4096, memory }).run(session), STATUS_DATA_XFER_ERROR);
    machines.store.judge = () => STATUS_OK;
    assert.is(await new TestCommand({ opcode: OP_READ, offset: 0, length: 4096, memory }).run(session), STATUS_OK);
  });
});

test('malformed requests are answered with the right status and the stream stays in step', async () => {
  const machines = await TwoMachines.open(14);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    const memory = world.memory.acquireSlot(MiB);
    const cases: readonly (readonly [Partial<StoreCommand>, number])[] = [
      [{ opcode: OP_WRITE, offset: 0, length: 1000 }, STATUS_INVALID_FIELD],
      [{ opcode: OP_WRITE, offset: 100, length: 512 }, STATUS_INVALID_FIELD],
      [{ opcode: OP_WRITE, offset: 0, length: 0 }, STATUS_INVALID_FIELD],
      [{ opcode: OP_READ, offset: 0, length: 2 * MiB }, STATUS_INVALID_FIELD],
      [{ opcode: OP_TRIM, offset: 0, length: 1025 * MiB }, STATUS_INVALID_FIELD],
      [{ opcode: OP_QUERY_WRITTEN, offset: 512, length: 4096 }, STATUS_INVALID_FIELD],
      [{ opcode: OP_TRIM, offset: 0, length: 512, flags: 0x80 }, STATUS_INVALID_FIELD],
      [{ opcode: OP_TRIM, offset: 0, length: 512, volumeId: TEST_VOLUME + 2 ** 24 }, STATUS_INVALID_FIELD],
      [{ opcode: OP_FLUSH, offset: 2 ** 53 - 1, length: 4096 }, 0x80],
    ];
    for (const [fields, wanted] of cases) {
      assert.is(await new TestCommand({ ...fields, memory }).run(session), wanted, JSON.stringify(fields));
    }
    assert.is(machines.store.seen.length, 0);
    assert.is(await new TestCommand({ opcode: OP_WRITE, offset: 0, length: 512, memory }).run(session), STATUS_OK);
  });
});

test('a connection is refused with what the owner said', async () => {
  const machines = await TwoMachines.open(15, { authorize: () => ({ result: EPERM, link: null }) });
  await machines.onClient(async (world) => {
    const error = await refusal(world, machines, {});
    assert.is(error.code, 'PERMISSION_DENIED');
    assert.match(error.message, 'errno 1');
  });
});

test('depths outside 1..255 are refused for a volume, and cut for a replication connection', async () => {
  const machines = await TwoMachines.open(16);
  await machines.onClient(async (world) => {
    for (const depth of [0, -1, 256, 32767])
      assert.is((await refusal(world, machines, { depth })).code, 'INVALID_STATE', `depth ${depth}`);
    const session = await ClientSession.connect(world, machines.address, { ...OPTIONS, volumeId: 0, depth: 1000 });
    assert.is(session.depth, 255);
  });
});

test('a store that never answers the handshake is given up in time', async () => {
  const machines = await TwoMachines.open(17);
  await machines.onClient(async (world) => {
    machines.storeProcess.pause();
    const error = await refusal(world, machines, { connectTimeoutMs: 300 });
    assert.is(error.code, 'TIMEOUT');
    machines.storeProcess.resume();
  });
});

async function refusal(world: World, machines: TwoMachines, options: Partial<ClientSessionOptions>): Promise<PfError> {
  try {
    await ClientSession.connect(world, machines.address, { ...OPTIONS, ...options });
  } catch (error) {
    return error as PfError;
  }
  throw new Error('the connection was granted');
}

test.run();

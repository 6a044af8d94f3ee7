// DataListener and ServerSession against peers that break the rules, come again, or hold on to things.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Arena } from '../world/arena.ts';
import type { World } from '../world/world.ts';
import { ClientSession, type ClientSessionOptions } from './client-session.ts';
import type { StoreCommand } from './command.ts';
import { encodeHandshake, encodeHead, KIND_CLIENT } from './frame-codec.ts';
import { OP_FLUSH, OP_READ, OP_WRITE } from './messages.ts';
import { ServerCommand } from './server-command.ts';
import { MAX_SKIP_BYTES, SWEEP_MS } from './server-session.ts';
import { STATUS_CONNECTION_LOST, STATUS_INVALID_FIELD, STATUS_INVALID_OPCODE, STATUS_OK } from './status.ts';
import { RawPeer, until } from './testing/raw-peer.ts';
import { TEST_TOKEN, TEST_VOLUME, TestCommand, TwoMachines } from './testing/two-machines.ts';

const OPTIONS: ClientSessionOptions = { volumeId: TEST_VOLUME, clientId: 7, token: TEST_TOKEN, depth: 32 };

function handshakeBytes(clientId = 7): Uint8Array {
  const bytes = new Uint8Array(32);
  const wish = { depth: 32, volumeId: TEST_VOLUME, clientId, versionOrResult: 2, grantedVersion: 0, token: TEST_TOKEN };
  encodeHandshake(new DataView(bytes.buffer), 0, wish);
  return bytes;
}

function headBytes(fields: ConstructorParameters<typeof TestCommand>[0], commandId = 1): Uint8Array {
  const bytes = new Uint8Array(64);
  encodeHead(new DataView(bytes.buffer), 0, new TestCommand(fields), KIND_CLIENT, commandId, 0, 0);
  return bytes;
}

async function rawClient(world: World, machines: TwoMachines, clientId = 7): Promise<RawPeer> {
  const peer = await RawPeer.connect(world, machines.address);
  peer.send(handshakeBytes(clientId));
  assert.is((await peer.take(32))[20], 0);
  return peer;
}

const statusOf = (reply: Uint8Array): number => reply[0]! | (reply[1]! << 8);

test('a new connection of a client ends the old one and waits for what it had in flight', async () => {
  const machines = await TwoMachines.open(1);
  await machines.onClient(async (world) => {
    const memory = world.memory.acquireSlot(4096);
    const old = await ClientSession.connect(world, machines.address, OPTIONS);
    machines.store.isHolding = true;
    const write = new TestCommand({ opcode: OP_WRITE, offset: 0, length: 4096, memory });
    old.submit(write);
    await until(world, () => machines.store.held.length === 1, 'the held write');
    let isGranted = false;
    const connecting = ClientSession.connect(world, machines.address, { ...OPTIONS, connectTimeoutMs: 10_000 }).then(
      (session) => {
        isGranted = true;
        return session;
      },
    );
    assert.is(await write.done, STATUS_CONNECTION_LOST, 'the old connection is ended at once');
    await world.clock.sleep(2000);
    assert.not(isGranted);
    const other = await ClientSession.connect(world, machines.address, { ...OPTIONS, clientId: 8 });
    assert.ok(other.isUp, 'other clients are not held up');
    machines.store.isHolding = false;
    machines.store.release();
    const session = await connecting;
    assert.is(await new TestCommand({ opcode: OP_FLUSH }).run(session), STATUS_OK);
    assert.ok(other.isUp);
  });
});

test('several new connections in a row: only the last one is served, after the first has ended', async () => {
  const machines = await TwoMachines.open(2);
  await machines.onClient(async (world) => {
    const first = await rawClient(world, machines);
    machines.store.isHolding = true;
    first.send(headBytes({ opcode: OP_FLUSH }));
    await until(world, () => machines.store.held.length === 1, 'the held flush');
    const second = await RawPeer.connect(world, machines.address);
    second.send(handshakeBytes());
    await first.closed();
    const third = await RawPeer.connect(world, machines.address);
    third.send(handshakeBytes());
    await second.closed();
    assert.equal([second.receivedBytes, third.receivedBytes], [0, 0]);
    machines.store.release();
    assert.is((await third.take(32))[20], 0);
    await until(world, () => machines.listener.connectionCount === 1, 'one connection to be left');
  });
});

test('a payload that is held keeps its slot, and the client waits, until it is dropped', async () => {
  const machines = await TwoMachines.open(3);
  const memory = machines.storeProcess.world.memory as Arena;
  const held: ServerCommand[] = [];
  machines.store.judge = (command: StoreCommand) => {
    if (command instanceof ServerCommand && command.opcode === OP_WRITE) {
      command.holdPayload();
      held.push(command);
    }
    return STATUS_OK;
  };
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    const slot = world.memory.acquireSlot(4096);
    assert.is(await new TestCommand({ opcode: OP_WRITE, offset: 0, length: 4096, memory: slot }).run(session), STATUS_OK);
    assert.is(memory.takenSlots, 1);
    await session.close();
    let isGranted = false;
    const again = ClientSession.connect(world, machines.address, { ...OPTIONS, connectTimeoutMs: 5000 }).then(
      () => (isGranted = true),
    );
    await world.clock.sleep(500);
    assert.not(isGranted, 'the write may still reach the disk');
    held[0]!.dropPayload();
    assert.is(memory.takenSlots, 0);
    await again;
  });
});

test('a peer that sends no handshake is dropped', async () => {
  const machines = await TwoMachines.open(4, { handshakeTimeoutMs: 700 });
  await machines.onClient(async (world) => {
    const peer = await RawPeer.connect(world, machines.address);
    peer.send(handshakeBytes().subarray(0, 31));
    const startedMs = world.clock.now();
    await peer.closed();
    assert.ok(world.clock.now() - startedMs > 600);
    assert.is(machines.listener.connectionCount, 0);
  });
});

test('more connections than the limit are closed', async () => {
  const machines = await TwoMachines.open(5, { maximumConnections: 2 });
  await machines.onClient(async (world) => {
    const kept = [await rawClient(world, machines, 1), await rawClient(world, machines, 2)];
    const third = await RawPeer.connect(world, machines.address);
    await third.closed(1000);
    assert.not(kept[0]!.isClosed || kept[1]!.isClosed);
  });
});

test('an unknown write is skipped with its payload, and the next request is served', async () => {
  const machines = await TwoMachines.open(6);
  await machines.onClient(async (world) => {
    const peer = await rawClient(world, machines);
    peer.send(headBytes({ opcode: 0xfd, length: 300_000 }, 5), new Uint8Array(300_000).fill(1));
    assert.is(statusOf(await peer.take(32)), STATUS_INVALID_OPCODE);
    peer.send(headBytes({ opcode: OP_WRITE, length: 2 * 1024 * 1024 }, 6), new Uint8Array(2 * 1024 * 1024).fill(1));
    assert.is(statusOf(await peer.take(32)), STATUS_INVALID_FIELD);
    peer.send(headBytes({ opcode: OP_FLUSH }, 7));
    const reply = await peer.take(32);
    assert.equal([statusOf(reply), reply[4]], [STATUS_OK, 7]);
  });
});

test('what cannot be skipped gets its answer and ends the connection', async () => {
  const machines = await TwoMachines.open(7);
  await machines.onClient(async (world) => {
    for (const [opcode, length] of [
      [OP_WRITE, MAX_SKIP_BYTES + 512],
      [0xff, 0],
    ] as const) {
      const peer = await rawClient(world, machines);
      peer.send(headBytes({ opcode, length }));
      assert.is.not(statusOf(await peer.take(32)), STATUS_OK);
      await peer.closed();
    }
  });
});

test('a peer that stops in the middle of a payload loses its memory after a while; an idle one may stay', async () => {
  const machines = await TwoMachines.open(8);
  const memory = machines.storeProcess.world.memory as Arena;
  await machines.onClient(async (world) => {
    const idle = await rawClient(world, machines, 1);
    const stuck = await rawClient(world, machines, 2);
    stuck.send(headBytes({ opcode: OP_WRITE, length: 65536 }), new Uint8Array(1000));
    await until(world, () => memory.takenSlots === 1, 'the slot to be taken');
    await stuck.closed(3 * SWEEP_MS);
    assert.is(memory.takenSlots, 0);
    await world.clock.sleep(5 * SWEEP_MS);
    assert.not(idle.isClosed);
    assert.ok(idle.receivedBytes >= 64 && idle.receivedBytes % 32 === 0, 'it is sent signs of life');
  });
});

test('close() waits for the commands in flight', async () => {
  const machines = await TwoMachines.open(9);
  await machines.onClient(async (world) => {
    const session = await ClientSession.connect(world, machines.address, OPTIONS);
    machines.store.isHolding = true;
    const slot = world.memory.acquireSlot(4096);
    const read = new TestCommand({ opcode: OP_READ, offset: 0, length: 4096, memory: slot });
    session.submit(read);
    await until(world, () => machines.store.held.length === 1, 'the held read');
    let isClosed = false;
    const closing = machines.listener.close().then(() => (isClosed = true));
    assert.is(await read.done, STATUS_CONNECTION_LOST);
    await world.clock.sleep(100);
    assert.not(isClosed);
    machines.store.release();
    await closing;
    await machines.listener.close();
  });
});

test('a protocol error of the store ends the session: answers nobody asked for, wrong numbers', async () => {
  const machines = await TwoMachines.open(10);
  for (const [commandId, sequence] of [
    [3, 0],
    [0, 1],
  ] as const) {
    await machines.onClient(async (world) => {
      let server: RawPeer | null = null;
      const listener = await world.network.listen(
        { kind: 'tcp', host: '127.0.0.1', port: 0 },
        (stream) => (server = new RawPeer(world, stream)),
      );
      const errors: string[] = [];
      const connecting = ClientSession.connect(world, listener.address, {
        ...OPTIONS,
        onDown: (error) => errors.push(error.code),
      });
      await until(world, () => server !== null && server.receivedBytes === 32, 'the handshake');
      const answer = await server!.take(32);
      new DataView(answer.buffer).setUint32(20, 2 << 16, true);
      server!.send(answer);
      const session = await connecting;
      const flush = new TestCommand({ opcode: OP_FLUSH });
      session.submit(flush);
      await server!.take(64);
      const reply = new Uint8Array(32);
      reply[4] = commandId;
      reply[8] = sequence;
      server!.send(reply);
      assert.is(await flush.done, STATUS_CONNECTION_LOST);
      assert.equal(errors, ['PROTOCOL_ERROR']);
      await session.close();
      await listener.close();
    });
  }
});

test.run();

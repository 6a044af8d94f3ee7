// Protocol version 1 both ways, with frames written by hand from PureFlash's layout: its clients at our listener, and our client
// session at its store.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Stream } from '../world/network.ts';
import type { World } from '../world/world.ts';
import { ClientSession } from './client-session.ts';
import { OP_READ, OP_TRIM, OP_WRITE, PROTOCOL_V1 } from './messages.ts';
import { STATUS_INVALID_FIELD, STATUS_INVALID_OPCODE, STATUS_OK, STATUS_STALE } from './status.ts';
import { bytesOfHex, hexOfBytes } from './testing/hex.ts';
import { RawPeer, until } from './testing/raw-peer.ts';
import { fillPattern, patternMatches, TEST_TOKEN, TEST_VOLUME, TestCommand, TwoMachines } from './testing/two-machines.ts';

const HANDSHAKE = '00 00 78 00 00 00 00 00 00 00 00 42 00 00 00 00  00 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00';
const GRANTED = '00 00 78 00 00 00 00 00 00 00 00 42 00 00 00 00\n00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00';

/** depth is the i16 at 2, the volume id the u64 at 8. */
function handshake(depth: number, isShared = false): Uint8Array {
  const bytes = bytesOfHex(HANDSHAKE);
  new DataView(bytes.buffer).setInt16(2, depth, true);
  if (isShared) bytes[11] = 0;
  return bytes;
}

/** opcode, command id, offset / 256, length; the reserved fields hold rubbish, as with a client that does not clear them. */
function head(opcode: number, commandId: number, offset: number, length: number): Uint8Array {
  const bytes = bytesOfHex(`
    00 99 00 00 ff ff ff ff  00 00 00 42 00 00 00 00
    10 32 54 76 98 ba dc fe  00 00 00 00 03 00 aa aa
    00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
    de ad be ef de ad be ef  de ad be ef de ad be ef`);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, opcode);
  view.setUint16(2, commandId, true);
  view.setUint32(32, offset, true);
  view.setUint32(40, length, true);
  return bytes;
}

function reply(status: number, commandId: number, metaVersion = 0): string {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, status, true);
  view.setUint16(2, metaVersion, true);
  view.setUint16(4, commandId, true);
  return hexOfBytes(bytes);
}

const DATA = new Uint8Array(4096).map((_, index) => (index * 13) & 255);

test('a version 1 client writes and reads, and its reserved fields mean nothing', async () => {
  const machines = await TwoMachines.open(1);
  await machines.onClient(async (world) => {
    const peer = await RawPeer.connect(world, machines.address);
    peer.send(handshake(120));
    assert.is(hexOfBytes(await peer.take(32)), GRANTED);
    peer.send(head(1, 7, 8192, 4096), DATA, head(2, 8, 8192, 4096));
    assert.is(hexOfBytes(await peer.take(32)), reply(0, 7));
    assert.is(hexOfBytes(await peer.take(32)), reply(0, 8));
    assert.equal(await peer.take(4096), DATA);
    peer.send(head(4, 9, 0, 0));
    assert.is(hexOfBytes(await peer.take(32)), reply(0, 9), 'a heartbeat is answered');
  });
  assert.equal(
    machines.handshakes.map(({ kind, clientId, token }) => [kind, clientId, token]),
    [[1, 0, 0]],
  );
  assert.equal(
    machines.store.seen.map(({ flags, attachEpoch, token, metaVersion }) => [flags, attachEpoch, token, metaVersion]),
    [
      [0, 0, 0, 3],
      [0, 0, 0, 3],
    ],
  );
});

test('a failed read is followed by padding at version 1, so that the client stays in step', async () => {
  const machines = await TwoMachines.open(2);
  machines.store.judge = (command) => {
    command.replyMetaVersion = 0x55;
    return command.offset === 0 ? STATUS_STALE : STATUS_OK;
  };
  await machines.onClient(async (world) => {
    const peer = await RawPeer.connect(world, machines.address);
    peer.send(handshake(120));
    await peer.take(32);
    peer.send(
      head(2, 1, 0, 65536),
      head(2, 2, 4096, 512),
      head(2, 3, 0, 1000),
      head(14, 4, 0, 4096),
      head(1, 5, 0, 512),
      DATA.subarray(0, 512),
    );
    assert.is(hexOfBytes(await peer.take(32)), reply(0x4000, 1, 0x55));
    assert.ok((await peer.take(65536)).every((byte) => byte === 0));
    assert.is(hexOfBytes(await peer.take(32)), reply(0, 2, 0x55));
    await peer.take(512);
    assert.is(hexOfBytes(await peer.take(32)), reply(STATUS_INVALID_FIELD, 3));
    await peer.take(1000);
    assert.is(hexOfBytes(await peer.take(32)), reply(STATUS_INVALID_OPCODE, 4), 'RECOVERY_READ is not served');
    await peer.take(4096);
    assert.is(hexOfBytes(await peer.take(32)), reply(0x4000, 5, 0x55), 'a failed write is not padded');
    assert.is(peer.receivedBytes, 0);
  });
});

test('version 1 depths are checked for a volume and not for a shared connection', async () => {
  const machines = await TwoMachines.open(3);
  await machines.onClient(async (world) => {
    for (const depth of [0, -5, 256]) {
      const peer = await RawPeer.connect(world, machines.address);
      peer.send(handshake(depth));
      assert.is(new DataView((await peer.take(32)).buffer).getInt16(20, true), 22, `depth ${depth}`);
      await peer.closed();
    }
    for (const [depth, granted] of [
      [1, 1],
      [255, 255],
    ] as const) {
      const peer = await RawPeer.connect(world, machines.address);
      peer.send(handshake(depth));
      const view = new DataView((await peer.take(32)).buffer);
      assert.equal([view.getInt16(20, true), view.getInt16(2, true)], [0, granted]);
    }
    for (const depth of [0, 100, 30000]) {
      const peer = await RawPeer.connect(world, machines.address);
      peer.send(handshake(depth, true));
      assert.is(new DataView((await peer.take(32)).buffer).getInt16(20, true), 0, `shared, depth ${depth}`);
      peer.send(head(2, 1, 0, 512));
      assert.is(hexOfBytes(await peer.take(32)), reply(0, 1));
    }
  });
});

test('a version 1 client may have more in flight than its depth: the rest waits', async () => {
  const machines = await TwoMachines.open(4);
  machines.store.isHolding = true;
  await machines.onClient(async (world) => {
    const peer = await RawPeer.connect(world, machines.address);
    peer.send(handshake(4));
    await peer.take(32);
    for (let id = 0; id < 8; id += 1) peer.send(head(1, id, 4096 * id, 4096), DATA);
    await until(world, () => machines.store.held.length === 4, 'four held writes');
    await world.clock.sleep(500);
    assert.is(peer.receivedBytes, 0, 'no unasked sign of life at version 1');
    machines.store.isHolding = false;
    machines.store.release();
    const ids: number[] = [];
    for (let count = 0; count < 8; count += 1) ids.push((await peer.take(32))[4]!);
    assert.equal(ids.sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert.is(machines.store.mostHeld, 4);
  });
});

/** A store of version 1: `serve` gets the connection after the handshake, which it echoes as PureFlash does. */
async function legacyStore(machines: TwoMachines, serve: (peer: RawPeer) => Promise<void>): Promise<void> {
  await machines.storeProcess.perform(async (world: World) => {
    await world.network.listen({ kind: 'tcp', host: '0.0.0.0', port: 50000 }, (stream: Stream) => {
      const peer = new RawPeer(world, stream);
      void (async () => {
        const hello = await peer.take(32);
        assert.is(new DataView(hello.buffer).getUint16(22, true), 0);
        hello[20] = 0;
        hello[21] = 0;
        peer.send(hello);
        await serve(peer);
      })();
    });
  });
}

test('a version 1 store is spoken to in its own frames', async () => {
  const machines = await TwoMachines.open(5);
  await legacyStore(machines, async (peer) => {
    const write = await peer.take(64);
    const data = await peer.take(4096);
    assert.equal([write[0], write[1], ...write.subarray(48, 64)], [1, 0, ...new Uint8Array(16)]);
    peer.send(bytesOfHex(reply(0, write[2]!)));
    const read = await peer.take(64);
    peer.send(bytesOfHex(reply(0, read[2]!)), data);
    const failing = await peer.take(64);
    const after = await peer.take(64);
    peer.send(bytesOfHex(reply(0x4000, failing[2]!, 9)), bytesOfHex(reply(0, after[2]!)), data);
  });
  await machines.onClient(async (world) => {
    const address = { kind: 'tcp', host: machines.storeProcess.host.address, port: 50000 } as const;
    const session = await ClientSession.connect(world, address, {
      volumeId: TEST_VOLUME,
      clientId: 3,
      token: TEST_TOKEN,
      depth: 16,
    });
    assert.equal([session.protocolVersion, session.maximumIoBytes, session.depth], [PROTOCOL_V1, 131072, 16]);
    const memory = world.memory.acquireSlot(4096);
    fillPattern(world.memory, memory, 4096, 1);
    assert.is(await new TestCommand({ opcode: OP_WRITE, offset: 0, length: 4096, memory }).run(session), STATUS_OK);
    world.memory.bytes.fill(0, memory, memory + 4096);
    const read = new TestCommand({ opcode: OP_READ, offset: 0, length: 4096, memory });
    assert.is(await read.run(session), STATUS_OK);
    assert.ok(patternMatches(world.memory, memory, 4096, 1));
    const failing = new TestCommand({ opcode: OP_READ, offset: 0, length: 4096, memory });
    const after = new TestCommand({ opcode: OP_READ, offset: 0, length: 4096, memory });
    session.submit(failing);
    session.submit(after);
    assert.equal([await failing.done, failing.replyMetaVersion], [STATUS_STALE, 9], 'no payload follows an error');
    assert.is(await after.done, STATUS_OK);
    assert.is(await new TestCommand({ opcode: OP_TRIM, offset: 0, length: 4096 }).run(session), STATUS_INVALID_OPCODE);
    assert.is(await new TestCommand({ opcode: OP_READ, offset: 0, length: 262144, memory }).run(session), STATUS_INVALID_FIELD);
  });
});

test('a version 1 store that is slow is neither asked for heartbeats nor given up', async () => {
  const machines = await TwoMachines.open(6);
  let received = 0;
  await legacyStore(machines, async (peer) => {
    const first = await peer.take(64);
    await peer.take(1, 4000).catch(() => undefined);
    received = peer.receivedBytes;
    peer.send(bytesOfHex(reply(0, first[2]!)), DATA);
  });
  await machines.onClient(async (world) => {
    const address = { kind: 'tcp', host: machines.storeProcess.host.address, port: 50000 } as const;
    const session = await ClientSession.connect(world, address, { volumeId: TEST_VOLUME, clientId: 3, token: 0, depth: 16 });
    const memory = world.memory.acquireSlot(4096);
    assert.is(await new TestCommand({ opcode: OP_READ, offset: 0, length: 4096, memory }).run(session), STATUS_OK);
  });
  assert.is(received, 0);
});

test.run();

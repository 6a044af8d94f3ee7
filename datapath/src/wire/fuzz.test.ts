// Mutated frames against a server session: it never crashes, never hangs, keeps its memory, and serves the next peer.
// PF_FUZZ_FRAMES sets the number of frames (20,000), PF_FUZZ_SEED the seed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SeededRandom } from '../sim/seeded-random.ts';
import type { Arena } from '../world/arena.ts';
import type { World } from '../world/world.ts';
import { ClientSession } from './client-session.ts';
import { encodeHandshake, encodeHead, encodeReply, KIND_CLIENT, KIND_REPLICATION } from './frame-codec.ts';
import {
  OP_FLUSH,
  OP_HEARTBEAT,
  OP_QUERY_WRITTEN,
  OP_READ,
  OP_READ_REPLICA,
  OP_REPLICATE_TRIM,
  OP_REPLICATE_WRITE,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from './messages.ts';
import { STATUS_OK } from './status.ts';
import { RawPeer, until } from './testing/raw-peer.ts';
import { fillPattern, patternMatches, TEST_TOKEN, TEST_VOLUME, TestCommand, TwoMachines } from './testing/two-machines.ts';

const FRAMES = Number(process.env['PF_FUZZ_FRAMES'] ?? 20_000);
const SEED = Number(process.env['PF_FUZZ_SEED'] ?? 1);
const FRAMES_A_CONNECTION = 50;
const OPCODES = [
  OP_WRITE,
  OP_READ,
  OP_HEARTBEAT,
  OP_REPLICATE_WRITE,
  OP_FLUSH,
  OP_TRIM,
  OP_WRITE_ZEROES,
  OP_REPLICATE_TRIM,
  OP_QUERY_WRITTEN,
  OP_READ_REPLICA,
];
const NASTY = [0, 1, 0x7f, 0x80, 0xff];

class Mutator {
  readonly random: SeededRandom;

  constructor(seed: number) {
    this.random = new SeededRandom(seed, 'fuzz');
  }

  handshake(): Uint8Array {
    const bytes = new Uint8Array(32);
    encodeHandshake(new DataView(bytes.buffer), 0, {
      depth: this.random.chance(0.9) ? 1 + this.random.below(255) : this.random.below(65536) - 32768,
      volumeId: this.random.chance(0.7) ? TEST_VOLUME : 0,
      clientId: this.random.below(4),
      versionOrResult: this.random.chance(0.8) ? 2 : 1,
      grantedVersion: 0,
      token: TEST_TOKEN,
    });
    if (this.random.chance(0.05)) this.#damage(bytes);
    return bytes;
  }

  /** A head with a payload that fits, mostly; then perhaps damaged, cut, or followed by rubbish. */
  frame(): Uint8Array {
    const opcode = OPCODES[this.random.below(OPCODES.length)]!;
    const length = this.random.chance(0.9) ? 512 * this.random.below(40) : this.random.below(0x1000000);
    const command = new TestCommand({ opcode, flags: this.random.below(16), offset: 4096 * this.random.below(1 << 20), length });
    command.sequence = this.random.below(1000);
    const head = new Uint8Array(64);
    encodeHead(
      new DataView(head.buffer),
      0,
      command,
      this.random.chance(0.7) ? KIND_CLIENT : KIND_REPLICATION,
      this.random.below(300),
      command.flags & 13,
      0,
    );
    if (this.random.chance(0.3)) this.#damage(head);
    const payload = new Uint8Array((opcode & 3) === 1 && length <= 20480 ? length : 0);
    const whole = new Uint8Array(64 + payload.length);
    whole.set(head, 0);
    return this.random.chance(0.02) ? whole.subarray(0, this.random.below(whole.length)) : whole;
  }

  #damage(bytes: Uint8Array): void {
    for (let count = 1 + this.random.below(4); count > 0; count -= 1) {
      const value = this.random.chance(0.5) ? NASTY[this.random.below(NASTY.length)]! : this.random.below(256);
      bytes[this.random.below(bytes.length)] = value;
    }
  }
}

test(`${FRAMES} mutated frames do no harm`, async () => {
  const machines = await TwoMachines.open(SEED);
  const memory = machines.storeProcess.world.memory as Arena;
  const mutator = new Mutator(SEED);
  machines.store.judge = (command) => (command.offset % 3 === 0 ? 0x4000 : STATUS_OK);
  let frames = 0;
  let closed = 0;
  let served = 0;
  await machines.onClient(async (world) => {
    while (frames < FRAMES) {
      const peer = await RawPeer.connect(world, machines.address);
      peer.send(mutator.handshake());
      for (let count = 0; count < FRAMES_A_CONNECTION && !peer.isClosed; count += 1, frames += 1) {
        peer.send(mutator.frame());
        if (count % 8 === 7) await world.clock.sleep(0.1);
      }
      await world.clock.sleep(2);
      if (peer.isClosed) closed += 1;
      peer.stream.destroy();
      await until(world, () => machines.listener.connectionCount === 0, 'the session to end', 40_000);
      assert.is(memory.takenSlots, 0);
      served += machines.store.seen.length;
      machines.store.seen.length = 0;
      if (frames % 1000 < FRAMES_A_CONNECTION) await healthy(world, machines);
    }
    await healthy(world, machines);
  });
  assert.ok(closed > 0 && served > FRAMES / 20, `${closed} connections were ended, ${served} requests were served`);
});

test(`${FRAMES / 20} mutated replies do a client no harm`, async () => {
  const machines = await TwoMachines.open(SEED + 1);
  const { random } = new Mutator(SEED + 1);
  await machines.onClient(async (world) => {
    const memory = world.memory as Arena;
    let peer: RawPeer | null = null;
    const listener = await world.network.listen(
      { kind: 'tcp', host: '127.0.0.1', port: 0 },
      (stream) => (peer = new RawPeer(world, stream)),
    );
    for (let round = 0; round < FRAMES / 200; round += 1) {
      peer = null;
      const connecting = ClientSession.connect(world, listener.address, {
        volumeId: TEST_VOLUME,
        clientId: 1,
        token: 0,
        depth: 16,
      });
      await until(world, () => peer !== null && peer.receivedBytes === 32, 'the handshake');
      const server = peer as RawPeer | null;
      server!.send(handshakeAnswer());
      const session = await connecting;
      const slot = memory.acquireSlot(65536);
      const commands = Array.from({ length: 12 }, (_, index) => {
        const command = new TestCommand({
          opcode: index % 2 === 0 ? OP_READ : OP_WRITE,
          length: 512 * (1 + 3 * index),
          memory: slot,
        });
        session.submit(command);
        return command;
      });
      for (let count = 0; count < 10; count += 1) server!.send(mutatedReply(random));
      await world.clock.sleep(1);
      await session.close();
      for (const command of commands) assert.type(await command.done, 'number');
      memory.releaseSlot(slot);
      server!.stream.destroy();
      assert.is(memory.takenSlots, 0);
    }
  });
});

function handshakeAnswer(): Uint8Array {
  const bytes = new Uint8Array(32);
  const answer = { depth: 16, volumeId: TEST_VOLUME, clientId: 1, versionOrResult: 0, grantedVersion: 2, token: 0 };
  encodeHandshake(new DataView(bytes.buffer), 0, answer);
  return bytes;
}

function mutatedReply(random: SeededRandom): Uint8Array {
  const commandId = random.below(14);
  const payload = commandId % 2 === 0 && random.chance(0.5) ? 512 * (1 + 3 * commandId) : 0;
  const bytes = new Uint8Array(32 + payload);
  encodeReply(new DataView(bytes.buffer), 0, {
    status: payload > 0 ? 0 : random.below(3) * 0x4000,
    metaVersion: random.below(65536),
    commandId: random.chance(0.1) ? random.below(65536) : commandId,
    flags: random.below(4),
    commandSequence: random.chance(0.1) ? random.below(3) : 0,
    payloadCrc: random.below(2 ** 31),
  });
  return bytes;
}

async function healthy(world: World, machines: TwoMachines): Promise<void> {
  const session = await ClientSession.connect(world, machines.address, {
    volumeId: TEST_VOLUME,
    clientId: 99,
    token: TEST_TOKEN,
    depth: 8,
  });
  const slot = world.memory.acquireSlot(8192);
  fillPattern(world.memory, slot, 8192, 1);
  assert.is(await new TestCommand({ opcode: OP_WRITE, offset: 4096, length: 8192, memory: slot }).run(session), STATUS_OK);
  world.memory.bytes.fill(0, slot, slot + 8192);
  assert.is(await new TestCommand({ opcode: OP_READ, offset: 4096, length: 8192, memory: slot }).run(session), STATUS_OK);
  assert.ok(patternMatches(world.memory, slot, 8192, 1));
  world.memory.releaseSlot(slot);
  await session.close();
}

test.run();

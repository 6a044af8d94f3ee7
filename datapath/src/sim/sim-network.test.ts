// Streams and HTTP between simulated machines: order, cuts, silence, resets, back-pressure, crashes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../base/errors.ts';
import type { Address, Stream, StreamHandler } from '../world/network.ts';
import type { World } from '../world/world.ts';
import type { SimHost } from './sim-host.ts';
import type { SimProcess } from './sim-process.ts';
import { Simulator } from './simulator.ts';

const PORT = 700;

/** Collects what a stream receives and how it ends. */
class Collector implements StreamHandler {
  readonly received: number[] = [];
  calls = 0;
  closedWith: PfError | null | undefined = undefined;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  onBytes(offset: number, length: number): void {
    this.calls += 1;
    this.received.push(...this.#world.memory.bytes.subarray(offset, offset + length));
  }

  onDirect(): void {}

  onClosed(error: PfError | null): void {
    this.closedWith = error;
  }
}

interface Pair {
  sim: Simulator;
  hosts: [SimHost, SimHost];
  client: SimProcess;
  server: SimProcess;
  near: Stream;
  far: Stream;
  nearSeen: Collector;
  farSeen: Collector;
}

async function connected(seed: number): Promise<Pair> {
  const sim = new Simulator(seed);
  const hosts: [SimHost, SimHost] = [sim.machine('a'), sim.machine('b')];
  const accepted: { stream: Stream; seen: Collector }[] = [];
  const server = hosts[1].startProcess('server', async (world) => {
    await world.network.listen({ kind: 'tcp', host: '0.0.0.0', port: PORT }, (stream) => {
      const seen = new Collector(world);
      stream.handler = seen;
      accepted.push({ stream, seen });
    });
  });
  await sim.settle(server.started);
  const client = hosts[0].startProcess('client', async () => undefined);
  const address: Address = { kind: 'tcp', host: hosts[1].address, port: PORT };
  const nearSeen = new Collector(client.world);
  const near = await client.perform(async (world) => {
    const stream = await world.network.connect(address, 1000);
    stream.handler = nearSeen;
    return stream;
  });
  await sim.run(() => accepted.length === 1);
  return { sim, hosts, client, server, near, far: accepted[0]!.stream, nearSeen, farSeen: accepted[0]!.seen };
}

test('bytes arrive whole and in order, cut at random places', async () => {
  const { sim, client, near, farSeen } = await connected(3);
  sim.network.faults.chunkChance = 0.9;
  const sent: number[] = [];
  await client.perform(async (world) => {
    for (let round = 0; round < 200; round += 1) {
      const length = 1 + world.random.below(300);
      const offset = near.reserve(length);
      for (let index = 0; index < length; index += 1) {
        world.memory.bytes[offset + index] = world.random.below(256);
        sent.push(world.memory.bytes[offset + index]!);
      }
      if (round % 3 === 0) await world.clock.sleep(0.1);
    }
  });
  await sim.run(() => farSeen.received.length === sent.length);
  assert.equal(farSeen.received, sent);
  assert.ok(farSeen.calls > 60, `only ${farSeen.calls} pieces`);
});

test('output of one turn leaves together, and end() closes both sides after it', async () => {
  const { sim, client, near, nearSeen, farSeen } = await connected(4);
  sim.network.faults.chunkChance = 0;
  await client.perform(async () => {
    near.writeBytes(new Uint8Array([1, 2]));
    near.writeBytes(new Uint8Array([3]));
    near.end();
  });
  await sim.run(() => farSeen.closedWith !== undefined && nearSeen.closedWith !== undefined);
  assert.equal([farSeen.received, farSeen.calls, farSeen.closedWith, nearSeen.closedWith], [[1, 2, 3], 1, null, null]);
});

test('owned memory is read when it leaves, and its completion is called once', async () => {
  const { sim, client, near, farSeen } = await connected(5);
  const results: number[] = [];
  await client.perform(async (world) => {
    const slot = world.memory.acquireSlot(4096);
    world.memory.bytes.fill(7, slot, slot + 4096);
    near.writeOwned(slot, 4096, { complete: (result) => results.push(result) });
  });
  await sim.run(() => farSeen.received.length === 4096);
  assert.equal([results, farSeen.received.every((byte) => byte === 7)], [[0], true]);
});

test('receiveInto puts the next bytes straight into memory, across pieces', async () => {
  const { sim, client, server, near, far } = await connected(6);
  sim.network.faults.chunkChance = 1;
  const target = server.world.memory.reserve(4096);
  const events: string[] = [];
  far.handler = {
    onBytes(_offset, length) {
      events.push(`head ${length}`);
      far.receiveInto(target, 1000);
    },
    onDirect: () => events.push('direct'),
    onClosed() {},
  };
  await client.perform(async (world) => {
    near.writeBytes(new Uint8Array([9]));
    await world.clock.sleep(5);
    near.writeBytes(new Uint8Array(1000).fill(5));
  });
  await sim.run(() => events.length === 2);
  assert.equal(events, ['head 1', 'direct']);
  assert.ok(server.world.memory.bytes.subarray(target, target + 1000).every((byte) => byte === 5));
});

test('a partition is silence; after healing the bytes arrive', async () => {
  const { sim, hosts, client, near, farSeen, nearSeen } = await connected(7);
  sim.network.partition([hosts[0]], [hosts[1]]);
  await client.perform(async () => near.writeBytes(new Uint8Array([1, 2, 3])));
  await sim.run(sim.now + 5_000);
  assert.equal([farSeen.received.length, nearSeen.closedWith], [0, undefined]);
  sim.network.heal(hosts[0], hosts[1]);
  await sim.run(() => farSeen.received.length === 3, { withinMs: 1000 });
});

test('a one-way partition stops one direction only', async () => {
  const { sim, hosts, client, server, near, far, farSeen, nearSeen } = await connected(8);
  sim.network.partitionOneWay(hosts[0], hosts[1]);
  await client.perform(async () => near.writeBytes(new Uint8Array([1])));
  await server.perform(async () => far.writeBytes(new Uint8Array([2])));
  await sim.run(sim.now + 1000);
  assert.equal([farSeen.received, nearSeen.received], [[], [2]]);
});

test('silence that lasts breaks the connection of whoever has bytes under way', async () => {
  const { sim, hosts, client, near, nearSeen, farSeen } = await connected(9);
  sim.network.partition([hosts[0]], [hosts[1]]);
  await client.perform(async () => near.writeBytes(new Uint8Array([1])));
  await sim.run(sim.now + 31_000);
  assert.is(nearSeen.closedWith?.code, 'CONNECTION_LOST');
  assert.is(farSeen.closedWith, undefined, 'the other side does not know');
});

test('a stall delays; a reset breaks both ends', async () => {
  const { sim, hosts, client, near, nearSeen, farSeen } = await connected(10);
  sim.network.links.stall(hosts[0], hosts[1], 400);
  const start = sim.now;
  await client.perform(async () => near.writeBytes(new Uint8Array([1])));
  await sim.run(() => farSeen.received.length === 1);
  assert.ok(sim.now - start > 399);
  assert.is(sim.network.resetConnections(hosts[0], hosts[1]), 1);
  await sim.run(() => nearSeen.closedWith !== undefined && farSeen.closedWith !== undefined);
  assert.equal([nearSeen.closedWith?.code, farSeen.closedWith?.code], ['CONNECTION_LOST', 'CONNECTION_LOST']);
});

test('destroy() answers CANCELLED in a later turn, cancels owned output, and the peer sees the end', async () => {
  const { sim, client, near, nearSeen, farSeen } = await connected(11);
  const results: number[] = [];
  await client.perform(async (world) => {
    near.writeOwned(world.memory.reserve(4096), 4096, { complete: (result) => results.push(result) });
    near.destroy();
    near.destroy();
    assert.is(nearSeen.closedWith, undefined);
  });
  await sim.run(() => nearSeen.closedWith !== undefined && farSeen.closedWith !== undefined);
  assert.equal([nearSeen.closedWith?.code, results, farSeen.closedWith, farSeen.received.length], ['CANCELLED', [125], null, 0]);
});

test('a reader that pauses pushes back on the writer, and lets it go on', async () => {
  const { sim, client, server, near, far, farSeen } = await connected(12);
  let drains = 0;
  near.handler = { onBytes() {}, onDirect() {}, onClosed() {}, onDrain: () => (drains += 1) };
  await server.perform(async () => far.pauseReceiving());
  await client.perform(async (world) => {
    for (let round = 0; round < 64; round += 1) {
      near.writeOwned(world.memory.reserve(65536), 65536, { complete() {} });
      await world.clock.sleep(0.2);
    }
  });
  assert.is(near.isCongested, true);
  farSeen.received.push = () => 0;
  await server.perform(async () => far.resumeReceiving());
  await sim.run(() => near.queuedBytes === 0);
  assert.equal([near.isCongested, drains], [false, 1]);
});

test('a killed process ends its connections; a crash in silence is noticed only by asking it after its restart', async () => {
  const killed = await connected(13);
  killed.server.kill();
  await killed.sim.run(() => killed.nearSeen.closedWith !== undefined, { withinMs: 100 });

  const { sim, hosts, server, client, near, nearSeen } = await connected(14);
  server.crash({ peers: 'silence' });
  await client.perform(async () => near.writeBytes(new Uint8Array([1])));
  await sim.run(sim.now + 1000);
  assert.is(nearSeen.closedWith, undefined);
  hosts[1].startProcess('server', async () => undefined);
  await client.perform(async () => near.writeBytes(new Uint8Array([1])));
  await sim.run(() => nearSeen.closedWith !== undefined, { withinMs: 1000 });
  assert.is(nearSeen.closedWith?.code, 'CONNECTION_LOST');
});

test('connecting fails as it should: refused, unknown, silent, timed out, no such path', async () => {
  const { sim, hosts, client } = await connected(15);
  const fail = async (address: Address): Promise<string> =>
    client
      .perform((world) => world.network.connect(address, 500))
      .then(
        () => 'connected',
        (error: PfError) => error.code,
      );
  const tcp = (host: string, port: number): Address => ({ kind: 'tcp', host, port });
  assert.is(await fail(tcp(hosts[1].address, 1)), 'CONNECTION_LOST');
  assert.is(await fail(tcp('10.9.9.9', PORT)), 'CONNECTION_LOST');
  assert.is(await fail({ kind: 'unix', path: '/run/none' }), 'NOT_FOUND');
  sim.network.partition([hosts[0]], [hosts[1]]);
  assert.is(await fail(tcp(hosts[1].address, PORT)), 'TIMEOUT');
  sim.schedule(300, () => sim.network.healAll());
  assert.is(await fail(tcp(hosts[1].address, PORT)), 'connected');
});

test('a unix path is served by one process, and taken over when that one is dead', async () => {
  const host = new Simulator(16).machine('m');
  const address: Address = { kind: 'unix', path: '/run/x' };
  const listen = (world: World) => world.network.listen(address, (stream) => (stream.handler = new Collector(world)));
  const first = host.startProcess('first', async (world) => void (await listen(world)));
  const second = host.startProcess('second', async () => undefined);
  await first.sim.settle(first.started);
  const code = await second.perform(listen).catch((error: PfError) => error.code);
  assert.is(code, 'ALREADY_EXISTS');
  first.kill();
  const refused = await second.perform((world) => world.network.connect(address, 100)).catch((error: PfError) => error.code);
  assert.is(refused, 'CONNECTION_LOST');
  await second.perform(listen);
  const stream = await second.perform((world) => world.network.connect(address, 100));
  assert.is(stream.peer, 'unix:/run/x');
});

test('HTTP: an answer, an error of the handler, a lost answer that was executed, and a timeout', async () => {
  const sim = new Simulator(17);
  const hosts = [sim.machine('a'), sim.machine('b')] as const;
  let executed = 0;
  const server = hosts[1].startProcess('server', async (world) => {
    await world.http.serve('0.0.0.0', 80, async (request) => {
      executed += 1;
      if (request.path === '/bad') throw new PfError('NOT_FOUND', 'no such thing');
      if (request.path === '/slow') await world.clock.sleep(10_000);
      const text = `${request.method} ${request.path} ${request.query.get('op')} ${request.headers.get('x-one')} ${request.body.length}`;
      return { status: 200, contentType: 'text/plain', body: new TextEncoder().encode(text) };
    });
  });
  await sim.settle(server.started);
  const client = hosts[0].startProcess('client', async () => undefined);
  const ask = (target: string): Promise<string> =>
    client
      .perform((world) =>
        world.http.request({
          method: 'POST',
          host: hosts[1].address,
          port: 80,
          target,
          timeoutMs: 500,
          body: new Uint8Array(3),
          headers: { 'X-One': '1' },
        }),
      )
      .then(
        (response) => `${response.status} ${new TextDecoder().decode(response.body)}`,
        (error: PfError) => error.code,
      );
  assert.is(await ask('/s5c/?op=a%20b'), '200 POST /s5c/ a b 1 3');
  assert.is(await ask('/bad'), '500 no such thing');
  assert.is(await ask('/slow'), 'TIMEOUT');
  sim.network.faults.answerLostChance = 1;
  assert.is(await ask('/x'), 'CONNECTION_LOST');
  assert.is(executed, 4);
  sim.network.faults.answerLostChance = 0;
  sim.network.faults.requestLostChance = 1;
  assert.is(await ask('/x'), 'CONNECTION_LOST');
  assert.is(executed, 4);
  sim.network.faults.requestLostChance = 0;
  sim.network.partitionOneWay(hosts[1], hosts[0]);
  assert.is(await ask('/x'), 'TIMEOUT');
  assert.is(executed, 5);
});

test('HTTP: a server that is killed while answering breaks the request; a signal rejects with its reason', async () => {
  const sim = new Simulator(18);
  const host = sim.machine('a');
  const server = host.startProcess('server', async (world) => {
    await world.http.serve('127.0.0.1', 80, async () => {
      await world.clock.sleep(1000);
      return { status: 200, contentType: 'text/plain', body: new Uint8Array(0) };
    });
  });
  await sim.settle(server.started);
  const client = host.startProcess('client', async () => undefined);
  const abort = new AbortController();
  const call = { method: 'GET', host: '127.0.0.1', port: 80, target: '/', timeoutMs: 5000 } as const;
  const aborted = client
    .perform((world) => world.http.request({ ...call, signal: abort.signal }))
    .catch((error: unknown) => error);
  sim.schedule(20, () => abort.abort('stop'));
  assert.is(await aborted, 'stop');
  sim.schedule(20, () => server.kill());
  const broken = await client.perform((world) => world.http.request(call)).catch((error: PfError) => error.code);
  assert.is(broken, 'CONNECTION_LOST');
});

test.run();

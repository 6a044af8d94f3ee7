// Time, order, determinism and the life of processes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { World } from '../world/world.ts';
import { Simulator } from './simulator.ts';

/** Three processes that chat over streams, sleep and use disks: enough to feel every kind of event. */
async function busyRun(seed: number): Promise<string> {
  const sim = new Simulator(seed);
  const server = sim.machine('server');
  server.addDisk('/dev/a', { sizeBytes: 1 << 20 });
  server.startProcess('echo', async (world) => {
    const disk = await world.disks.open('/dev/a', {});
    const buffer = world.memory.reserve(4096);
    world.clock.every(3, () => disk.write(0, buffer, 4096, false, { complete() {} }));
    await world.network.listen({ kind: 'tcp', host: '0.0.0.0', port: 700 }, (stream) => {
      stream.handler = {
        onBytes: (offset, length) => stream.writeBytes(world.memory.bytes.slice(offset, offset + length)),
        onDirect() {},
        onClosed() {},
      };
    });
  });
  for (const name of ['left', 'right']) {
    sim.machine(name).startProcess('client', async (world) => {
      await world.clock.sleep(1 + world.random.below(5));
      const stream = await world.network.connect({ kind: 'tcp', host: server.address, port: 700 }, 1000);
      let received = 0;
      stream.handler = {
        onBytes(_offset, length) {
          received += length;
          if (received % 100 === 0) stream.writeBytes(new Uint8Array(100));
        },
        onDirect() {},
        onClosed() {},
      };
      stream.writeBytes(new Uint8Array(100));
    });
  }
  await sim.run(200);
  assert.ok(sim.eventCount > 1000, `only ${sim.eventCount} events`);
  return sim.traceHash;
}

test('the same seed gives the same trace, another seed another one', async () => {
  const first = await busyRun(42);
  assert.is(await busyRun(42), first);
  assert.is.not(await busyRun(43), first);
});

test('events happen in order of time, and of scheduling at the same time', async () => {
  const sim = new Simulator(1);
  const seen: string[] = [];
  sim.schedule(5, () => seen.push('late'));
  sim.schedule(1, () => seen.push('first'));
  sim.schedule(1, () => seen.push('second'));
  sim.schedule(2, () => seen.push('never')).cancel();
  await sim.run(10);
  assert.equal(seen, ['first', 'second', 'late']);
  assert.is(sim.now, 10);
});

test('promises run to their end between two events', async () => {
  const sim = new Simulator(1);
  const seen: string[] = [];
  sim.schedule(1, () => {
    void (async () => {
      for (let turn = 0; turn < 50; turn += 1) await null;
      seen.push('chain done');
    })();
  });
  sim.schedule(1, () => seen.push('next event'));
  await sim.run(10);
  assert.equal(seen, ['chain done', 'next event']);
});

test('a predicate that cannot come true rejects with the seed and the last log lines', async () => {
  const sim = new Simulator(77);
  sim.machine('m').startProcess('p', async (world) => world.log.warn('about to stall', { reason: 'test' }));
  try {
    await sim.run(() => false, { withinMs: 50 });
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /seed 77 failed .* the awaited state was not reached: no event is left/);
    assert.match((error as Error).message, /m\/p warn: about to stall reason=test/);
  }
});

test('an error thrown by a program fails the run, or kills the process when it may die', async () => {
  const sim = new Simulator(1);
  const dying = sim.machine('m').startProcess('weak', async () => Promise.reject(new Error('boom')), { onError: 'die' });
  await sim.run(10);
  assert.is(dying.isAlive, false);
  assert.is((dying.failure as Error).message, 'boom');
  sim.machine('m').startProcess('strong', async (world) => {
    world.clock.after(1, () => {
      throw new Error('bang');
    });
  });
  try {
    await sim.run(20);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /process strong on m failed in "timer": bang/);
  }
});

test('a crash takes the timers and promises of the process with it, and a restart begins anew', async () => {
  const sim = new Simulator(1);
  const seen: string[] = [];
  const main = (name: string) => async (world: World) => {
    world.clock.every(10, () => seen.push(name));
    await world.clock.sleep(25);
    seen.push(`${name} slept`);
  };
  const host = sim.machine('m');
  const first = host.startProcess('p', main('first'));
  await sim.run(15);
  first.crash();
  await sim.run(50);
  assert.equal(seen, ['first']);
  host.startProcess('p', main('second'));
  await sim.run(77);
  assert.equal(seen, ['first', 'second', 'second', 'second slept']);
});

test('a paused process sees its clock jump and its timers late', async () => {
  const sim = new Simulator(1);
  const seen: number[] = [];
  let start = 0;
  const process = sim.machine('m').startProcess('p', async (world) => {
    start = world.clock.now();
    world.clock.every(10, () => seen.push(Math.round(world.clock.now() - start)));
  });
  await sim.run(12);
  process.pause();
  await sim.run(100);
  assert.equal(seen, [10]);
  process.resume();
  await sim.run(115);
  assert.equal(seen, [10, 100, 110]);
});

test('clocks of machines run at their own rate', async () => {
  const sim = new Simulator(1);
  const host = sim.machine('fast', { clockDriftPpm: 100_000 });
  let start = 0;
  const process = host.startProcess('p', async (world) => void (start = world.clock.now()));
  let firedAt = 0;
  await process.perform(async (world) => void world.clock.after(110, () => (firedAt = sim.now)));
  const from = sim.now;
  await sim.run(1000);
  assert.is(Math.round(process.world.clock.now() - start), 1100);
  assert.is(Math.round(firedAt - from), 100);
});

test('work at the end of a turn runs after the event, in order, and before later events', async () => {
  const sim = new Simulator(5);
  const seen: string[] = [];
  const process = sim.machine('m').startProcess('p', async () => undefined);
  await process.perform(async (world) => {
    world.turn.atEnd({ runAtTurnEnd: () => seen.push('one') });
    world.turn.atEnd({ runAtTurnEnd: () => seen.push('two') });
    world.clock.after(1, () => seen.push('timer'));
    seen.push('event');
    await null;
    seen.push('microtask');
    await world.clock.sleep(2);
  });
  assert.equal(seen, ['event', 'microtask', 'one', 'two', 'timer']);
});

test('sleep rejects with the reason of its signal, and world.close() stops timers', async () => {
  const sim = new Simulator(1);
  const process = sim.machine('m').startProcess('p', async () => undefined);
  const abort = new AbortController();
  const sleeping = process.perform((world) => world.clock.sleep(1000, abort.signal)).catch((error: unknown) => error);
  sim.schedule(5, () => abort.abort('enough'));
  assert.is(await sleeping, 'enough');
  assert.is(sim.now < 10, true);
  let ticks = 0;
  await process.perform(async (world) => {
    world.clock.every(1, () => (ticks += 1));
    await world.clock.sleep(3.5);
    await world.close();
  });
  await sim.run(sim.now + 100);
  assert.is(ticks, 3);
});

test('sha256 agrees with the published vectors', () => {
  const { world } = new Simulator(1).machine('m').startProcess('p', async () => undefined);
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  assert.is(world.sha256(bytes('')), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  assert.is(world.sha256(bytes('abc')), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.is(
    world.sha256(bytes('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq')),
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  );
});

test.run();

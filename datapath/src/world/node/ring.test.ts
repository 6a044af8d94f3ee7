// The loop itself: how many system calls and turns traffic costs.
// needs: io_uring
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLogger } from '../log.ts';
import { connectPair, eventually, inWorld } from '../testing/contract-world.ts';
import type { Stream } from '../network.ts';
import type { World } from '../world.ts';
import { loadNativeAddon, type NativeAddon } from './native-addon.ts';
import { openNodeWorld } from './node-world.ts';
import { Ring } from './ring.ts';
import { makeTestFolder } from './test-folder.ts';

const newPath = makeTestFolder();

/** How long a wait may be polled for. A wait of more than twice that is a long one. */
const LIMIT_MS = 4;

const ringWorld = (): Promise<World> => openNodeWorld({ ports: 'io_uring', log: silentLogger });

test(
  'a busy ring stays in its hook: one io_uring_enter a turn, and libuv is not visited',
  inWorld(ringWorld, async (world) => {
    const ring = Ring.acquire(loadNativeAddon() as NativeAddon);
    const streams: Stream[] = [];
    let count = 0;
    const bounce = (which: number) => ({
      onBytes(): void {
        count += 1;
        if (count < 20_000) streams[which]!.reserve(32);
      },
      onDirect(): void {},
      onClosed(): void {},
    });
    const pair = await connectPair(world, { kind: 'unix', path: newPath('bounce.sock') }, bounce(0), bounce(1));
    streams.push(pair.client, pair.server);
    const before = ring.counters;
    pair.client.reserve(32);
    await eventually(world, 'twenty thousand messages went to and fro', () => count === 20_000);
    const after = ring.counters;
    const turns = after.turns - before.turns;
    const enters = after.enters - before.enters;
    // A turn for each message; what was sent needs none of its own.
    assert.ok(turns < 20_000 * 1.1, `${turns} turns`);
    assert.ok(enters < turns * 1.2, `${enters} calls of io_uring_enter in ${turns} turns`);
    ring.release();
  }),
);

test(
  'waits that end soon are polled for where that is allowed, and a thread that waits for nothing soon sleeps',
  inWorld(ringWorld, async (world) => {
    const ring = Ring.acquire(loadNativeAddon() as NativeAddon);
    const path = newPath('read.img');
    writeFileSync(path, Buffer.alloc(65536));
    const disk = await world.disks.open(path, {});
    const slot = world.memory.acquireSlot(4096);
    const polledIn = async (reads: number): Promise<number> => {
      const before = ring.counters.polled;
      for (let at = 0; at < reads; at += 1)
        await new Promise<void>((resolve) => disk.read(0, slot, 4096, { complete: () => resolve() }));
      return ring.counters.polled - before;
    };
    /** How often the kernel is entered for each of these long waits; a timer ends them, while an accept is in flight. */
    const entersOf = async (waits: number): Promise<number[]> => {
      const enters: number[] = [];
      for (let at = 0; at < waits; at += 1) {
        const before = ring.counters;
        await world.clock.sleep(3 * LIMIT_MS);
        assert.is(ring.counters.polled - before.polled, 0, 'no long wait ends while polling');
        enters.push(ring.counters.enters - before.enters);
      }
      return enters;
    };
    const listener = await world.network.listen({ kind: 'unix', path: newPath('idle.sock') }, () => {});
    assert.is(await polledIn(200), 0);
    ring.pollBusily(LIMIT_MS * 1000);
    // On a processor that others want there is a pause between polls, so this takes as many reads as it takes.
    let polled = 0;
    for (const deadline = world.clock.now() + 10_000; polled < 100 && world.clock.now() < deadline; )
      polled += await polledIn(50);
    assert.ok(polled >= 100, `only ${polled} waits were polled for within 10 s`);
    // Each long wait takes an eighth from what the next one may poll. Then there is the call that sleeps and the one before libuv
    // runs the timer, but none to poll with; a timer that is early makes more of both.
    await entersOf(8);
    const enters = await entersOf(16);
    assert.is(Math.min(...enters), 2, `calls of io_uring_enter in long waits: ${enters.join(', ')}`);
    ring.pollBusily(0);
    assert.is(await polledIn(200), 0);
    await listener.close();
    await disk.close();
    ring.release();
  }),
);

const TAKE_20_BYTES = `
  let left = 20;
  require('node:net').connect(process.argv[1]).on('data', (bytes) => (left -= bytes.length) === 0 && process.exit(7));`;

test(
  'a send that nobody waits for costs no turn, but what is written behind it leaves at once',
  inWorld(ringWorld, async (world) => {
    const path = newPath('behind.sock');
    let onAccepted = (_stream: Stream): void => {};
    const accepted = new Promise<Stream>((resolve) => (onAccepted = resolve));
    const listener = await world.network.listen({ kind: 'unix', path }, (stream) => {
      stream.handler = { onBytes() {}, onDirect() {}, onClosed() {} };
      onAccepted(stream);
    });
    const child = spawn(process.execPath, ['-e', TAKE_20_BYTES, path], { stdio: 'ignore' });
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const stream = await accepted;
    const started = performance.now();
    stream.reserve(10);
    // The first ten bytes are being sent when the second ten are written: the stream's own task of this turn comes first.
    world.turn.atEnd({ runAtTurnEnd: () => stream.reserve(10) });
    const timer = setTimeout(() => {}, 5000);
    assert.is(await exited, 7);
    clearTimeout(timer);
    assert.ok(performance.now() - started < 4000, 'they waited for something else to happen');
    await listener.close();
  }),
);

test(
  'promises that a turn settles may start the next one without a detour',
  inWorld(ringWorld, async (world) => {
    let rounds = 0;
    for (; rounds < 1000; rounds += 1) await new Promise<void>((resolve) => world.turn.atEnd({ runAtTurnEnd: resolve }));
    assert.is(rounds, 1000);
  }),
);

test.run();

// The loop itself: how many system calls and turns traffic costs.
// needs: io_uring
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
    assert.ok(turns < 40_000 * 1.1, `${turns} turns`);
    assert.ok(enters < turns * 1.2, `${enters} calls of io_uring_enter in ${turns} turns`);
    ring.release();
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

// The volume client under a random mix of faults, by seed: every request succeeds, and reads see what was written last.
// PF_VOLUME_SEEDS sets how many seeds are run (default 4), PF_VOLUME_SEED the first one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../base/sizes.ts';
import { READ, TRIM, WRITE } from '../block/device.ts';
import { SeededRandom } from '../sim/seeded-random.ts';
import type { World } from '../world/world.ts';
import { STATUS_NOT_READY } from '../wire/status.ts';
import { fillPattern, patternMatches } from '../wire/testing/two-machines.ts';
import { FakeCluster } from './testing/fake-cluster.ts';
import { TestRequest } from './testing/test-request.ts';
import type { VolumeDevice } from './volume-device.ts';

const SEEDS = Number(process.env['PF_VOLUME_SEEDS'] ?? 4);
const FIRST_SEED = Number(process.env['PF_VOLUME_SEED'] ?? 1);
const WORKERS = 12;
const STEPS = 60;

/** Works in its own range, which lies across a shard border for some, so that it knows what it must read. */
async function work(world: World, device: VolumeDevice, random: SeededRandom, base: number): Promise<void> {
  const slot = world.memory.acquireSlot(256 * KiB);
  let stamp = -1;
  let written = 0;
  for (let step = 0; step < STEPS; step += 1) {
    if (stamp < 0 || random.chance(0.5)) {
      stamp = random.below(256);
      written = 512 * (1 + random.below(512));
      fillPattern(world.memory, slot, written, stamp);
      assert.is(await new TestRequest(WRITE, base, written, slot).run(device), 0);
    } else if (random.chance(0.1)) {
      assert.is(await new TestRequest(TRIM, base, 256 * KiB).run(device), 0);
      assert.is(await new TestRequest(READ, base, written, slot).run(device), 0);
      assert.ok(world.memory.bytes.subarray(slot, slot + written).every((byte) => byte === 0));
      stamp = -1;
    } else {
      world.memory.bytes.fill(0xee, slot, slot + written);
      assert.is(await new TestRequest(READ, base, written, slot).run(device), 0);
      assert.ok(patternMatches(world.memory, slot, written, stamp), `step ${step} at ${base}`);
    }
    if (random.chance(0.2)) await world.clock.sleep(random.below(200));
  }
  world.memory.releaseSlot(slot);
}

function schedule(cluster: FakeCluster, random: SeededRandom): void {
  const act = (): void => {
    const index = random.below(cluster.stores.length);
    const { process, memory } = cluster.stores[index]!;
    const choice = random.below(6);
    if (choice === 0) cluster.sim.network.resetConnections(cluster.client.host, process.host);
    if (choice === 1) cluster.move(random.below(cluster.shards.length), index);
    if (choice === 2 && !process.isPaused) {
      process.pause();
      cluster.sim.schedule(random.below(2500), () => process.resume());
    }
    if (choice === 3) {
      memory.judge = () => STATUS_NOT_READY;
      cluster.sim.schedule(random.below(600), () => void (memory.judge = (command) => cluster.judge(index, command)));
    }
    if (choice === 4 && !cluster.conductor.isPaused) {
      cluster.conductor.pause();
      cluster.sim.schedule(random.below(2000), () => cluster.conductor.resume());
    }
    if (choice === 5) {
      cluster.sim.network.partition([cluster.client.host], [process.host]);
      cluster.sim.schedule(random.below(2500), () => cluster.sim.network.heal(cluster.client.host, process.host));
    }
    cluster.sim.schedule(random.below(1000), act);
  };
  cluster.sim.schedule(100, act);
}

for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
  test(`seed ${seed}: no request fails and no write is lost`, async () => {
    const random = new SeededRandom(seed, 'volume faults');
    const cluster = await FakeCluster.open(seed, { stores: 3, sizeBytes: 256 * MiB, shardBytes: 64 * MiB });
    await cluster.onClient(async (world) => {
      const device = await cluster.openVolume(world, { connections: 1 + random.below(3), depth: 4 + random.below(60) });
      schedule(cluster, random);
      for (const { memory, process } of cluster.stores)
        memory.later = (execute) => void process.world.clock.after(random.below(40), execute);
      const bases = Array.from({ length: WORKERS }, (_, index) => (index + 1) * 16 * MiB - (index % 4 === 3 ? 128 * KiB : 0));
      await Promise.all(bases.map((base) => work(world, device, random, base)));
      assert.is(device.outstanding, 0);
      assert.is(device.stats.failures, 0);
      assert.ok(device.stats.longestStallMs < 15_000, `stalled ${device.stats.longestStallMs} ms`);
      await device.close();
    });
  });
}

test.run();

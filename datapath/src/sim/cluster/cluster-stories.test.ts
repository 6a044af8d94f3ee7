// deadline: 240s
// Pinned stories of the whole cluster: each breaks one thing on purpose, and ends with everything healed, read back and accounted for.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { READ, WRITE, WRITE_ZEROES } from '../../block/device.ts';
import { KiB, MiB } from '../../base/sizes.ts';
import { StoreClient } from '../../api/store-client.ts';
import { EIO, ENOSPC } from '../../world/completion.ts';
import { allowNoSpace } from './load-client.ts';
import { DISK_PATH, fillDisk } from './sim-cluster.ts';
import { tell } from './testing/story.ts';

test('timers are late: a configuration that waits for a promise is taken although it is offered again just then', async () => {
  await tell({ seed: 1023, timerLatenessMs: 400 }, async (story) => {
    assert.is(await story.write(0, 4 * KiB), 0);
  });
});

test('the primary dies under writes: another replica serves within seconds, and no request fails', async () => {
  await tell({ seed: 1001 }, async ({ cluster, writer, pass }) => {
    const old = await cluster.primaryOf('story', 0);
    writer.run(8);
    await pass(500);
    old.kill();
    const before = writer.requestCount;
    await pass(4_000);
    assert.is.not((await cluster.primaryOf('story', 0)).host.name, old.host.name);
    assert.ok(writer.requestCount > before + 20, `${writer.requestCount - before} requests after the death`);
    assert.is(writer.failureCount, 0);
    old.start();
    await pass(1_500);
  });
});

test('the primary is paused under reads: when it wakes up it serves nothing stale', async () => {
  await tell({ seed: 1002, load: { readShare: 0.5 } }, async ({ cluster, volume, writer, pass }) => {
    const reader = await volume.opened('reader', true);
    const old = await cluster.primaryOf('story', 0);
    reader.run(4);
    writer.run(8);
    await pass(400);
    old.process!.pause();
    await pass(3_000);
    assert.is.not((await cluster.primaryOf('story', 0)).host.name, old.host.name);
    old.process!.resume();
    await pass(1_500);
  });
});

test('a primary that is cut off from its secondaries and the conductor, but not from a reader, stops serving reads', async () => {
  await tell({ seed: 1003 }, async (story) => {
    const { cluster, volume, writer } = story;
    const { network } = cluster.sim;
    const reader = await volume.opened('reader', true);
    assert.is(await story.write(0, 4 * KiB), 0);
    const old = await cluster.primaryOf('story', 0);
    const others = [cluster.conductor, ...cluster.stores].map((node) => node.host).filter((host) => host !== old.host);
    network.partition([old.host], [...others, writer.process.host]);
    // The writer goes on with the new primary; the reader still reaches the old one and must not see the old block there.
    assert.is(await story.write(0, 4 * KiB), 0);
    assert.is(await story.read(0, 4 * KiB, reader), 0);
    assert.is.not((await cluster.primaryOf('story', 0)).host.name, old.host.name);
    network.healAll();
  });
});

test('a primary that has lost a network for data keeps silent, so another one serves, and the healthy replicas stay in sync', async () => {
  await tell({ seed: 1024, hasReplicationNetwork: true }, async ({ cluster, writer, pass }) => {
    const old = await cluster.primaryOf('story', 0);
    writer.run(8);
    await pass(500);
    // Nobody reaches it by any network for data; management it still has.
    const others = cluster.stores.map((node) => node.host).filter((host) => host !== old.host);
    cluster.sim.network.partition([old.host], [...others, writer.process.host]);
    cluster.withoutNetwork.add(old.host.name);
    const before = writer.requestCount;
    await pass(4_000);
    const shard = await cluster.shard('story', 0);
    const states = shard.replicas.map((replica) => [cluster.storeById(replica.store_id).host.name, replica.status] as const);
    for (const [name, status] of states) assert.is(status === 'IN_SYNC', name !== old.host.name, `${name} is ${status}`);
    assert.ok(writer.requestCount > before + 20, `${writer.requestCount - before} requests afterwards`);
    assert.is(writer.failureCount, 0);
    cluster.heal();
    await pass(1_500);
  });
});

test('everything loses power at once under writes: what was acknowledged is there afterwards', async () => {
  await tell({ seed: 1004, sizeBytes: 64 * MiB + 20 * KiB, load: { depth: 16 } }, async ({ cluster, writer, pass }) => {
    writer.run(16);
    for (let round = 0; round < 3; round += 1) {
      await pass(600);
      cluster.blackout();
      await pass(300);
      cluster.heal();
      await pass(3_000);
    }
    assert.is(writer.failureCount, 0);
    assert.ok(writer.requestCount > 100);
  });
});

test('a second writer fences the first for good, also where the first has requests under way', async () => {
  await tell({ seed: 1005 }, async (story) => {
    const { volume, writer, pass } = story;
    writer.run(8);
    await pass(500);
    writer.mayBeFenced = true;
    const second = await volume.opened('second', false);
    writer.superseded();
    second.run(8);
    await pass(1_000);
    assert.is(writer.isFenced, true);
    assert.is(await story.write(0, 512), EIO);
    assert.is(await story.read(0, 512), EIO);
    assert.is(second.failureCount, 0);
  });
});

test('a writer that was paused while another took over writes nothing when it wakes up', async () => {
  await tell({ seed: 1006 }, async ({ volume, writer, pass }) => {
    writer.run(8);
    await pass(300);
    writer.process.pause();
    writer.mayBeFenced = true;
    const second = await volume.opened('second', false);
    writer.superseded();
    second.run(8);
    await pass(500);
    writer.process.resume();
    await pass(1_000);
    assert.is(writer.isFenced, true);
  });
});

test('a full disk gives ENOSPC and only that, also when a secondary is fuller than the primary', async () => {
  const shape = { seed: 1007, diskBytes: 96 * MiB, load: { extraRegions: 12 } };
  await tell(
    shape,
    async (story) => {
      const { cluster, writer, pass } = story;
      const primary = await cluster.primaryOf('story', 0);
      for (const store of cluster.stores) await fillDisk(store, store === primary ? 30 : 12);
      await cluster.allInSync(['story']);
      writer.run(8);
      await pass(2_000);
      writer.stop();
      await pass(500);
      let refused = 0;
      for (let extent = 0; extent < 40; extent += 1) {
        const errno = await story.write(20 * MiB + extent * 64 * KiB, 8 * KiB);
        assert.ok(errno === 0 || errno === ENOSPC, `errno ${errno}`);
        if (errno === ENOSPC) refused += 1;
      }
      assert.ok(refused > 0, 'nothing was refused');
      assert.ok((await cluster.shard('story', 0)).replicas.every((replica) => replica.status === 'IN_SYNC'));
      assert.is(await story.trim(0, 64 * MiB), 0);
      assert.is(await story.write(40 * MiB, 8 * KiB), 0, 'trimmed space is free again');
    },
    allowNoSpace,
  );
});

test('a rotten block is never served: it is read from another replica and repaired', async () => {
  await tell({ seed: 1008 }, async (story) => {
    const { cluster } = story;
    assert.is(await story.write(0, 64 * KiB), 0);
    const primary = await cluster.primaryOf('story', 0);
    const device = primary.host.disk(DISK_PATH);
    await story.pass(200);
    device.faults.bitRot = 1;
    device.isFaultAllowed = (_kind, _offset, length) => length >= 4 * KiB && device.injected.length === 0;
    assert.is(await story.read(8 * KiB, 4 * KiB), 0);
    assert.is(device.injected.length, 1);
    device.faults.bitRot = 0;
    assert.is(await story.read(8 * KiB, 4 * KiB), 0);
    const metrics = await cluster.ask((world) =>
      world.http.request({ method: 'GET', host: primary.host.address, port: 49181, target: '/metrics', timeoutMs: 1000 }),
    );
    assert.match(new TextDecoder().decode(metrics.body), /healed_blocks\S* 1\b/);
  });
});

test('the conductor crashes and comes back under load: I/O does not notice, and a later failover works', async () => {
  await tell({ seed: 1009 }, async ({ cluster, writer, pass }) => {
    writer.run(8);
    await pass(300);
    cluster.conductor.powerOff();
    const before = writer.requestCount;
    await pass(2_000);
    assert.ok(writer.requestCount > before + 50, `${writer.requestCount - before} requests without a conductor`);
    cluster.conductor.powerOn();
    await pass(1_500);
    (await cluster.primaryOf('story', 0)).kill();
    await pass(3_000);
    assert.is(writer.failureCount, 0);
  });
});

test('a secondary that only the primary cannot reach is taken out and comes back', async () => {
  await tell({ seed: 1010 }, async ({ cluster, writer, pass }) => {
    const primary = await cluster.primaryOf('story', 0);
    const [secondary] = await cluster.secondariesOf('story', 0);
    writer.run(8);
    await pass(300);
    cluster.sim.network.partition([primary.host], [secondary!.host]);
    await pass(2_500);
    const statuses = (await cluster.shard('story', 0)).replicas.map((replica) => replica.status);
    assert.is(statuses.filter((status) => status === 'IN_SYNC').length, 2, statuses.join(' '));
    cluster.sim.network.healAll();
    await pass(1_000);
    assert.is(writer.failureCount, 0);
  });
});

test('a write that was held up since an older configuration does not overtake a newer one', async () => {
  await tell({ seed: 1013, replicaCount: 2, storeCount: 2 }, async (story) => {
    const { cluster, writer, pass } = story;
    const { network } = cluster.sim;
    const first = await cluster.primaryOf('story', 0);
    const [second] = await cluster.secondariesOf('story', 0);
    // The link swallows the write; the store lives, but the conductor cannot know that.
    network.partitionOneWay(writer.process.host, first.host);
    const held = writer.write(0, 4 * KiB);
    network.partition([first.host], [cluster.conductor.host]);
    assert.is(await cluster.sim.settle(held), 0);
    assert.is(await cluster.primaryOf('story', 0), second);
    network.heal(first.host, cluster.conductor.host);
    await cluster.allInSync(['story']);
    assert.is(await story.write(0, 4 * KiB), 0);
    second!.kill();
    await pass(2_500);
    assert.is(await cluster.primaryOf('story', 0), first);
    network.healAll();
    await pass(1_000);
    assert.is(await story.read(0, 4 * KiB), 0);
  });
});

test('what an old primary had sent to a secondary changes nothing there once another one is primary', async () => {
  await tell({ seed: 1014 }, async (story) => {
    const { cluster, writer, pass } = story;
    const { network } = cluster.sim;
    const old = await cluster.primaryOf('story', 0);
    for (const secondary of await cluster.secondariesOf('story', 0)) network.partitionOneWay(old.host, secondary.host);
    const first = writer.write(0, 4 * KiB);
    await pass(20);
    old.process!.pause();
    assert.is(await cluster.sim.settle(first), 0);
    assert.is(await story.write(0, 4 * KiB), 0);
    network.healAll();
    await pass(500);
    (await cluster.primaryOf('story', 0)).kill();
    assert.is(await story.read(0, 4 * KiB), 0);
    old.process!.resume();
  });
});

test('a write that reached one secondary only, and whose client is dead, is on all replicas or on none', async () => {
  await tell({ seed: 1015 }, async (story) => {
    const { cluster, volume, writer, pass } = story;
    assert.is(await story.write(0, 4 * KiB), 0);
    const primary = await cluster.primaryOf('story', 0);
    const [, other] = await cluster.secondariesOf('story', 0);
    cluster.sim.network.partitionOneWay(primary.host, other!.host);
    void writer.write(0, 4 * KiB);
    await pass(20);
    primary.kill();
    writer.die();
    const reader = await volume.opened('reader', true);
    assert.is(await story.read(0, 4 * KiB, reader), 0);
    cluster.sim.network.healAll();
  });
});

test('a new primary waits until the old one, which the conductor cannot reach, has stopped serving reads', async () => {
  await tell({ seed: 1016 }, async (story) => {
    const { cluster, volume, writer, pass } = story;
    const reader = await volume.opened('reader', true);
    assert.is(await story.write(0, 4 * KiB), 0);
    const old = await cluster.primaryOf('story', 0);
    cluster.sim.network.partition([old.host], [cluster.conductor.host]);
    for (let waited = 0; (await cluster.primaryOf('story', 0)) === old && waited < 3_000; waited += 20) {
      assert.is(await story.read(0, 4 * KiB, reader), 0);
      await pass(20);
    }
    writer.mayBeFenced = true;
    const second = await volume.opened('second', false);
    writer.superseded();
    assert.is(await story.write(0, 4 * KiB, second), 0);
    assert.is(await story.read(0, 4 * KiB, reader), 0);
    cluster.sim.network.healAll();
  });
});

test('a store that has restarted keeps the promise that it has forgotten', async () => {
  await tell({ seed: 1017, replicaCount: 2, storeCount: 2 }, async (story) => {
    const { cluster, volume, writer, pass } = story;
    const reader = await volume.opened('reader', true);
    assert.is(await story.write(0, 4 * KiB), 0);
    const old = await cluster.primaryOf('story', 0);
    const [next] = await cluster.secondariesOf('story', 0);
    const readFor = async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 50) {
        assert.is(await story.read(0, 4 * KiB, reader), 0);
        await pass(50);
      }
    };
    await readFor(500);
    cluster.sim.network.partition([old.host], [cluster.conductor.host]);
    await readFor(800);
    next!.restart();
    writer.mayBeFenced = true;
    const second = await volume.opened('second', false);
    writer.superseded();
    assert.is(await cluster.primaryOf('story', 0), next);
    assert.is(await story.write(0, 4 * KiB, second), 0);
    const late = reader.read(0, 4 * KiB);
    await pass(300);
    cluster.sim.network.healAll();
    assert.is(await cluster.sim.settle(late), 0);
  });
});

test('a write that waits for the disk while a replica comes back is not missing there', async () => {
  await tell({ seed: 1018, replicaCount: 2, storeCount: 2 }, async (story) => {
    const { cluster, writer, pass } = story;
    assert.is(await story.write(0, 8 * KiB), 0);
    const disk = (await cluster.primaryOf('story', 0)).host.disk(DISK_PATH);
    const [secondary] = await cluster.secondariesOf('story', 0);
    secondary!.kill();
    await pass(2_500);
    disk.setStuck(true);
    // It changes a part of a block, which has to be read first: the extent does not know of it yet.
    const held = writer.write(512, 1024);
    await pass(20);
    secondary!.start();
    await pass(600);
    disk.setStuck(false);
    assert.is(await cluster.sim.settle(held), 0);
  });
});

test('replicas agree byte for byte: the digests of every object are equal', async () => {
  await tell({ seed: 1011, storeCount: 3, load: { trimShare: 0.3 } }, async ({ cluster, writer, pass }) => {
    writer.run(8);
    await pass(800);
    writer.stop();
    await pass(300);
    const { volume_id, shards } = await cluster.getVolume('story');
    const digests: string[] = [];
    for (const replica of shards[0]!.replicas) {
      const params = { volume_id, shard_index: 0, object_index: 0 };
      digests.push((await cluster.ask((world) => new StoreClient(world, replica.http_address).digestReplica(params))).sha256);
    }
    assert.is(new Set(digests).size, 1, digests.join(' '));
  });
});

test('a volume with one replica waits for its store, and every kind of request works on it', async () => {
  await tell({ seed: 1012, replicaCount: 1 }, async (story) => {
    const { cluster, writer } = story;
    assert.is(await story.write(4 * KiB - 512, 4 * KiB), 0);
    assert.is(await cluster.sim.settle(writer.request(WRITE_ZEROES, 4 * KiB, 1024)), 0);
    assert.is(await cluster.sim.settle(writer.flush()), 0);
    const store = await cluster.primaryOf('story', 0);
    store.powerOff();
    const waiting = writer.request(READ, 0, 16 * KiB);
    const writing = writer.request(WRITE, 0, 16 * KiB);
    await story.pass(3_000);
    store.powerOn();
    assert.is(await cluster.sim.settle(waiting), 0);
    assert.is(await cluster.sim.settle(writing), 0);
  });
});

test.run();

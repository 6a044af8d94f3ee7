// deadline: 240s
// Pinned stories of volumes that grow while they are used, and of writers that are detached; each ends as cluster-stories.test.ts do.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConductorClient } from '../../api/conductor-client.ts';
import { KiB, MiB } from '../../base/sizes.ts';
import { EIO } from '../../world/completion.ts';
import { growVolume } from './grow-volume.ts';
import { tell, type Story } from './testing/story.ts';

/** Returns when the writer has learnt of it. */
async function grow({ cluster, volume, writer }: Story, sizeBytes: number): Promise<boolean> {
  const hasGrown = await cluster.ask((world) => growVolume(world, volume, sizeBytes));
  await cluster.sim.run(() => writer.device!.sizeBytes === sizeBytes, { withinMs: 10_000 });
  return hasGrown;
}

test('a volume grows into further shards under load, and the same device writes there', async () => {
  await tell({ seed: 1101, sizeBytes: 64 * MiB + 20 * KiB }, async (story) => {
    const { writer, pass } = story;
    writer.run(8);
    await pass(300);
    assert.is(await grow(story, 192 * MiB + 4 * KiB), true);
    await pass(700);
    assert.is(writer.device!.sizeBytes, 192 * MiB + 4 * KiB);
    assert.is(await story.read(64 * MiB + 20 * KiB, 64 * KiB), 0);
    assert.is(await story.write(64 * MiB + 16 * KiB, 8 * KiB), 0, 'over the old end');
    assert.is(await story.write(128 * MiB - 4 * KiB, 8 * KiB), 0, 'over the end of a shard');
    assert.is(await story.write(192 * MiB, 4 * KiB), 0);
    assert.is(writer.failureCount, 0);
  });
});

test('what was trimmed before the growth, and what nobody ever wrote, reads as zeros', async () => {
  await tell({ seed: 1102, sizeBytes: 4 * MiB + 20 * KiB }, async (story) => {
    assert.is(await story.write(4 * MiB, 20 * KiB), 0);
    assert.is(await story.trim(4 * MiB, 20 * KiB), 0);
    await grow(story, 5 * MiB);
    await story.pass(200);
    assert.is(await story.read(4 * MiB, 256 * KiB), 0);
    assert.is(await story.write(4 * MiB + 20 * KiB, 4 * KiB), 0);
    assert.is(await story.trim(4 * MiB, 1 * MiB), 0);
    await grow(story, 64 * MiB);
    await story.pass(200);
    assert.is(await story.read(4 * MiB, 256 * KiB), 0);
    assert.is(await story.read(5 * MiB - 64 * KiB, 128 * KiB), 0);
  });
});

test('the primary dies just after the growth: the new one has it, and so has the old one when it comes back', async () => {
  await tell({ seed: 1103, sizeBytes: 32 * MiB }, async (story) => {
    const { cluster, writer, pass } = story;
    const old = await cluster.primaryOf('story', 0);
    writer.run(8);
    await grow(story, 64 * MiB);
    old.kill();
    assert.is(await story.write(48 * MiB, 64 * KiB), 0);
    await pass(2_500);
    old.start();
    await cluster.allInSync(['story']);
    for (const secondary of await cluster.secondariesOf('story', 0)) if (secondary !== old) secondary.kill();
    (await cluster.primaryOf('story', 0)).kill();
    await pass(3_000);
    assert.is(await story.read(48 * MiB, 64 * KiB), 0);
    assert.is(writer.failureCount, 0);
  });
});

test('a secondary that is cut off during the growth does not hold it up, and follows when it is back', async () => {
  await tell({ seed: 1104, sizeBytes: 32 * MiB }, async (story) => {
    const { cluster, writer, pass } = story;
    const [secondary] = await cluster.secondariesOf('story', 0);
    writer.run(4);
    cluster.sim.network.partition(
      [secondary!.host],
      [...cluster.stores, cluster.conductor].map((node) => node.host).filter((host) => host !== secondary!.host),
    );
    assert.is(await grow(story, 96 * MiB), true);
    assert.is(await story.write(32 * MiB, 64 * KiB), 0);
    await pass(2_500);
    cluster.sim.network.healAll();
    await pass(1_500);
    assert.is(writer.failureCount, 0);
  });
});

test('the conductor dies in the middle of a growth: it is asked again, and it happened once', async () => {
  await tell({ seed: 1105, sizeBytes: 32 * MiB }, async (story) => {
    const { cluster, writer, pass } = story;
    writer.run(4);
    cluster.sim.schedule(1, () => cluster.conductor.restart(), 'conductor dies');
    cluster.sim.schedule(40, () => cluster.conductor.restart(), 'conductor dies again');
    assert.is(await grow(story, 160 * MiB), true);
    await pass(500);
    const volume = await cluster.getVolume('story');
    assert.equal([volume.volume_size, volume.shards.length], [160 * MiB, 3]);
    assert.is(await story.write(159 * MiB, 64 * KiB), 0);
  });
});

test('a writer that was detached writes nothing any more, and the conductor knows nobody', async () => {
  await tell({ seed: 1106 }, async (story) => {
    const { cluster, volume, writer, pass } = story;
    writer.run(8);
    await pass(300);
    writer.mayBeFenced = true;
    const reply = await cluster.ask((world) => new ConductorClient(world, cluster.conductors).detachVolume('story'));
    writer.superseded();
    assert.equal([reply.attached_to, reply.attach_epoch], [null, 2]);
    assert.is(await story.write(0, 4 * KiB), EIO);
    assert.is(writer.isFenced, true);
    const second = await volume.opened('second', false);
    assert.is(await story.write(0, 4 * KiB, second), 0);
    assert.is((await cluster.getVolume('story')).attached_to, 'unknown');
    await cluster.sim.settle(second.process.later(0, 'close', () => second.close()));
    assert.is((await cluster.getVolume('story')).attached_to, null, 'closed');
    second.die();
  });
});

test.run();

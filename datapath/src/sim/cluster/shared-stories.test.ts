// deadline: 120s
// Several nodes write one volume: each follows the attach epoch while its attachment lasts, and nobody else's end is theirs.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConductorClient } from '../../api/conductor-client.ts';
import { KiB } from '../../base/sizes.ts';
import type { LoadClient } from './load-client.ts';
import { tell, type Story } from './testing/story.ts';

/** In place of the story's writer, these nodes, all with the volume open. */
async function share(story: Story, ...nodes: readonly string[]): Promise<LoadClient[]> {
  await story.writer.process.perform(() => story.writer.close());
  story.writer.die();
  const clients: LoadClient[] = [];
  for (const node of nodes) clients.push(await opened(story, node));
  return clients;
}

async function opened(story: Story, node: string, process = node): Promise<LoadClient> {
  const client = await story.volume.sharing(node, process);
  await client.process.perform(() => client.open());
  return client;
}

test('two nodes write at the same time, a third one joins them, and no request of anybody fails', async () => {
  await tell({ seed: 1101 }, async (story) => {
    const [one, two] = await share(story, 'one', 'two');
    one!.run(4);
    two!.run(4);
    await story.pass(500);
    const three = await opened(story, 'three');
    three.run(4);
    await story.pass(1_500);
    for (const client of [one!, two!, three]) {
      assert.is(client.failureCount, 0);
      assert.ok(client.requestCount > 50, `${client.requestCount} requests of ${client.name}`);
    }
  });
});

test('a node that opens the volume again ends its own earlier process, and nobody else', async () => {
  await tell({ seed: 1102 }, async (story) => {
    const [one, two] = await share(story, 'one', 'two');
    one!.run(4);
    two!.run(4);
    await story.pass(400);
    one!.process.pause();
    one!.mayBeFenced = true;
    const again = await opened(story, 'one', 'one-again');
    one!.superseded();
    again.run(4);
    await story.pass(500);
    one!.process.resume();
    await story.pass(1_500);
    assert.is(one!.isFenced, true);
    assert.is(two!.failureCount, 0);
    assert.is(again.failureCount, 0);
  });
});

test('a node that the volume is taken from while it is paused writes nothing when it wakes up; the others go on', async () => {
  await tell({ seed: 1103 }, async (story) => {
    const [one, two, three] = await share(story, 'one', 'two', 'three');
    for (const client of [one!, two!, three!]) client.run(4);
    await story.pass(400);
    one!.process.pause();
    one!.mayBeFenced = true;
    await story.cluster.ask((world) =>
      new ConductorClient(world, story.cluster.conductors).detachVolume('story', { client: 'one' }),
    );
    one!.superseded();
    const before = two!.requestCount;
    await story.pass(1_000);
    one!.process.resume();
    await story.pass(1_500);
    assert.is(one!.isFenced, true);
    assert.is(two!.failureCount + three!.failureCount, 0);
    assert.ok(two!.requestCount > before + 20);
    const { attachments } = await story.cluster.getVolume('story');
    assert.equal(
      attachments.map(({ client, shared }) => ({ client, shared })),
      [
        { client: 'two', shared: true },
        { client: 'three', shared: true },
      ],
    );
  });
});

test('the primary dies under two writing nodes: both go on with the next one', async () => {
  await tell({ seed: 1104 }, async (story) => {
    const [one, two] = await share(story, 'one', 'two');
    const old = await story.cluster.primaryOf('story', 0);
    one!.run(4);
    two!.run(4);
    await story.pass(500);
    old.kill();
    await story.pass(4_000);
    assert.is.not((await story.cluster.primaryOf('story', 0)).host.name, old.host.name);
    assert.is(one!.failureCount + two!.failureCount, 0);
    old.start();
    await story.pass(1_500);
  });
});

test('what one node has written the other one reads', async () => {
  await tell({ seed: 1105 }, async (story) => {
    const [one, two] = await share(story, 'one', 'two');
    assert.is(await story.write(0, 64 * KiB, one), 0);
    assert.is(await story.read(0, 64 * KiB, two), 0);
    assert.is(await story.write(4 * KiB, 8 * KiB, two), 0);
    assert.is(await story.read(0, 64 * KiB, one), 0);
  });
});

test.run();

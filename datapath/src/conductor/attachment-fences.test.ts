// An attachment belongs to one client and one volume, and a detachment that was answered has taken it away: the whole conductor in the
// simulated world, and fake stores.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodeOf } from '../base/errors.ts';
import { SimCluster } from './testing/sim-cluster.ts';

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'OK',
    (error: unknown) => errorCodeOf(error),
  );
}

async function clusterWithNodes(seed: number): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, 2);
  await cluster.createVolume('data', 2);
  for (const name of ['node1', 'node2']) await cluster.ask((client) => client.putNode(name, '1.0.0'));
  return cluster;
}

test('an attachment of a volume that was deleted opens no later volume of its name', async () => {
  const cluster = await clusterWithNodes(41);
  const first = await cluster.ask((client) => client.attachVolume('data', { client: 'node1', isReadOnly: false }));
  await cluster.ask((client) => client.detachVolume('data', { client: 'node1' }));
  await cluster.ask((client) => client.deleteVolume('data'));
  await cluster.createVolume('data', 2);
  const second = await cluster.ask((client) => client.attachVolume('data', { client: 'node2', isReadOnly: false }));
  assert.is.not(second.attachment, first.attachment);
  const stale = cluster.ask((client) => client.openVolume('data', { client: 'node1', attachment: first.attachment }));
  assert.is(await codeOf(stale), 'FENCED');
  await cluster.end();
});

test("nobody opens with another client's attachment", async () => {
  const cluster = await clusterWithNodes(42);
  const { attachment } = await cluster.ask((client) => client.attachVolume('data', { client: 'node1', isReadOnly: false }));
  assert.is(await codeOf(cluster.ask((client) => client.openVolume('data', { client: 'node2', attachment }))), 'FENCED');
  await cluster.end();
});

test('a detachment is not answered with success while the client has opened the volume again', async () => {
  const cluster = await clusterWithNodes(43);
  const { attachment } = await cluster.ask((client) => client.attachVolume('data', { client: 'node1', isReadOnly: false }));
  await cluster.ask((client) => client.openVolume('data', { client: 'node1', attachment }));
  for (const number of [1, 2]) cluster.store(number).isHoldingBack = true;
  const detaching = cluster.begin((client) => client.detachVolume('data', { client: 'node1' }));
  await cluster.run(500);
  const opening = codeOf(cluster.begin((client) => client.openVolume('data', { client: 'node1', attachment })));
  await cluster.run(500);
  for (const number of [1, 2]) cluster.store(number).isHoldingBack = false;
  await cluster.sim.settle(detaching);
  assert.is(await cluster.sim.settle(opening), 'FENCED');
  const [info] = await cluster.ask((client) => client.listVolume());
  assert.is(info!.attached_to, null);
  await cluster.end();
});

test('an opening of a shared attachment that waits while the attachment is taken away is refused, not given the epoch that fences it', async () => {
  const cluster = await clusterWithNodes(45);
  const shared = (client: string) => ({ client, isReadOnly: false, isShared: true });
  const { attachment } = await cluster.ask((client) => client.attachVolume('data', shared('node1')));
  await cluster.ask((client) => client.attachVolume('data', shared('node2')));
  for (const number of [1, 2]) cluster.store(number).isHoldingBack = true;
  const opening = codeOf(cluster.begin((client) => client.openVolume('data', { client: 'node1', attachment })));
  await cluster.run(500);
  const detaching = codeOf(cluster.begin((client) => client.detachVolume('data', { client: 'node1' })));
  await cluster.run(500);
  for (const number of [1, 2]) cluster.store(number).isHoldingBack = false;
  assert.is(await cluster.sim.settle(opening), 'FENCED');
  assert.is(await cluster.sim.settle(detaching), 'OK');
  const [info] = await cluster.ask((client) => client.listVolume());
  assert.equal(
    info!.attachments.map((each) => each.client),
    ['node2'],
  );
  await cluster.end();
});

test('a detachment of a client that somebody has just taken the volume from waits until it is fenced, too', async () => {
  const cluster = await clusterWithNodes(46);
  const { attachment } = await cluster.ask((client) => client.attachVolume('data', { client: 'node1', isReadOnly: false }));
  await cluster.ask((client) => client.openVolume('data', { client: 'node1', attachment }));
  for (const number of [1, 2]) cluster.store(number).isHoldingBack = true;
  const taking = codeOf(cluster.begin((client) => client.openVolume('data', { client: 'somebody' })));
  await cluster.run(300);
  let isAnswered = false;
  const detaching = codeOf(cluster.begin((client) => client.detachVolume('data', { client: 'node1' }))).finally(
    () => (isAnswered = true),
  );
  await cluster.run(1_000);
  assert.is(isAnswered, false);
  for (const number of [1, 2]) cluster.store(number).isHoldingBack = false;
  assert.equal([await cluster.sim.settle(taking), await cluster.sim.settle(detaching)], ['OK', 'OK']);
  await cluster.end();
});

test('of two openings at the same time one gets the volume, and the other one is told', async () => {
  const cluster = await clusterWithNodes(44);
  for (const number of [1, 2]) cluster.store(number).isHoldingBack = true;
  const first = codeOf(cluster.begin((client) => client.openVolume('data', { client: 'a' })));
  await cluster.run(200);
  const second = cluster.begin((client) => client.openVolume('data', { client: 'b' }));
  await cluster.run(200);
  for (const number of [1, 2]) cluster.store(number).isHoldingBack = false;
  assert.is((await cluster.sim.settle(second)).attach_epoch, 2);
  assert.is(await cluster.sim.settle(first), 'FENCED');
  await cluster.end();
});

test.run();

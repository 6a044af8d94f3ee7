// The whole conductor in the simulated world, with fake stores: volumes' lives, failover, restarts, stubborn stores.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '../base/errors.ts';
import type { VolumeConfig } from '../api/model.ts';
import { SimCluster } from './testing/sim-cluster.ts';

const GiB = 1024 ** 3;

async function rejection(promise: Promise<unknown>): Promise<PfError> {
  try {
    await promise;
  } catch (error) {
    return error as PfError;
  }
  throw new Error('it did not fail');
}

const replicaId = (volume: VolumeConfig, replicaIndex: number, shardIndex = 0): number =>
  volume.shards[shardIndex]!.replicas[replicaIndex]!.id;

test('a volume is created, opened for writing, opened again, and deleted', async () => {
  const cluster = await SimCluster.start(1, 3);
  const created = await cluster.createVolume('data', 3, 100 * GiB);
  assert.is(created.id, 1107296256);
  assert.is(created.status, 'OK');
  const opened = await cluster.ask((client) => client.openVolume('data'));
  assert.is(opened.attach_epoch, 1);
  assert.is(opened.shards.length, 2);
  assert.is(opened.shard_size, 64 * GiB);
  for (const shard of opened.shards) {
    const primary = shard.replicas[shard.primary_rep_index]!;
    const held = cluster.store(primary.store_id).held.get(opened.volume_id)!;
    assert.is(held.attach_epoch, 1, 'the primary holds the epoch when the open answers');
    assert.is(primary.address, `${cluster.sim.machine(`store${primary.store_id}`).address}:49162`);
    assert.is(primary.id, opened.volume_id + shard.index * 16 + primary.index);
  }
  const second = await cluster.ask((client) => client.openVolume('data'));
  assert.is(second.attach_epoch, 2);
  assert.is((await rejection(cluster.ask((client) => client.openVolume('data', { attachEpoch: 1 })))).code, 'FENCED');
  assert.is((await rejection(cluster.ask((client) => client.openVolume('data', { attachEpoch: 3 })))).code, 'FENCED');
  assert.is((await cluster.ask((client) => client.openVolume('data', { attachEpoch: 2 }))).attach_epoch, 2);
  const reader = await cluster.ask((client) => client.openVolume('data', { isReadOnly: true }));
  assert.is(reader.attach_epoch, 2, 'a reader raises nothing');

  assert.equal(
    (await cluster.ask((client) => client.listVolume())).map((volume) => volume.name),
    ['data'],
  );
  const layout = await cluster.ask((client) => client.getVolume('data'));
  assert.equal([layout.attach_epoch, layout.attached_to], [2, 'unknown']);
  assert.not('token' in layout, 'only an open gives the secret away');
  await cluster.ask((client) => client.closeVolume('data', { attachEpoch: 2 }));
  const deletion = await cluster.ask((client) => client.deleteVolume('data'));
  assert.equal(deletion.pending_stores, []);
  for (const number of [1, 2, 3]) assert.equal(cluster.store(number).deleted, [opened.volume_id]);
  assert.is((await rejection(cluster.ask((client) => client.deleteVolume('data')))).code, 'NOT_FOUND');
  assert.is((await rejection(cluster.ask((client) => client.openVolume('data')))).code, 'NOT_FOUND');
  assert.is(await cluster.ask((client) => client.volumeExists('data')), false);
  await cluster.end();
});

test('creations are checked; a creation that was sent again answers like the first', async () => {
  const cluster = await SimCluster.start(2, 2);
  await cluster.createVolume('data', 2);
  const again = await rejection(cluster.createVolume('data', 2));
  assert.is(again.code, 'ALREADY_EXISTS');
  assert.match(again.message, /volume "data" exists, with 1073741824 bytes and 2 replicas/);
  assert.match((await rejection(cluster.createVolume('three', 3))).message, /^only 2 hosts available but replica is 3/);
  assert.match((await rejection(cluster.createVolume('odd', 1, GiB + 1))).message, /a multiple of 4096 wanted/);
  assert.match((await rejection(cluster.createVolume('a/b', 1))).message, /^volume_name: 1 to 96 characters/);
  const target = '/s5c/?op=create_volume&volume_name=sent&size=4096&request_id=same';
  const answers = await cluster.ask(async (_client, world) => {
    const call = { method: 'GET', host: cluster.sim.machine('conductor').address, port: 49180, target, timeoutMs: 1000 } as const;
    return Promise.all([world.http.request(call), world.http.request(call)]);
  });
  assert.equal(
    answers.map((answer) => answer.status),
    [200, 200],
  );
  assert.equal(answers[0]!.body, answers[1]!.body);
  await cluster.end();
});

test('a dead secondary is taken out within 1.7 s of its death, and recovers when it is back', async () => {
  const cluster = await SimCluster.start(3, 3);
  await cluster.createVolume('data', 2);
  await cluster.ask((client) => client.openVolume('data'));
  assert.is(cluster.shardOf('data'), '1S* 2S meta 1');
  const diedAt = cluster.sim.now;
  cluster.killStore(2);
  await cluster.until(() => cluster.shardOf('data') === '1S* 2O meta 2');
  const decisionMs = cluster.sim.now - diedAt;
  assert.ok(decisionMs >= 1000 && decisionMs <= 1700, `decided after ${decisionMs} ms`);
  await cluster.until(() => cluster.store(1).held.get(1107296256)!.shards[0]!.meta_ver === 2, 100);
  assert.is((await cluster.ask((client) => client.listVolume()))[0]!.status, 'DEGRADED');
  assert.is((await cluster.ask((client) => client.listStore()))[1]!.status, 'OFFLINE');

  const back = await cluster.startStore(2);
  await cluster.until(() => cluster.shardOf('data') === '1S* 2R meta 3', 200);
  await cluster.until(() => back.held.get(1107296256)?.shards[0]!.meta_ver === 3, 100);
  const volume = cluster.store(1).held.get(1107296256)!;
  const primary = cluster.store(1);
  const reply = await cluster.storeProcesses
    .get(1)!
    .perform(() => primary.client.recoveryDone({ op: 'recovery_done', ...primary.report(replicaId(volume, 1), 3) }));
  assert.is(reply.ret_code, 0);
  assert.is(reply.volume!.shards[0]!.meta_ver, 4);
  assert.is(cluster.shardOf('data'), '1S* 2S meta 4');
  assert.is((await cluster.ask((client) => client.listVolume()))[0]!.status, 'OK');
  await cluster.end();
});

test('a dead primary is replaced by a live in-sync replica, which is told', async () => {
  const cluster = await SimCluster.start(4, 3);
  await cluster.createVolume('data', 3);
  const opened = await cluster.ask((client) => client.openVolume('data'));
  const diedAt = cluster.sim.now;
  cluster.killStore(1);
  await cluster.until(() => cluster.store(2).held.get(opened.volume_id)!.shards[0]!.primary_rep_index === 1);
  assert.ok(cluster.sim.now - diedAt < 1750, `told after ${cluster.sim.now - diedAt} ms`);
  assert.is(cluster.shardOf('data'), '1O 2S* 3S meta 2');
  const again = await cluster.ask((client) => client.openVolume('data', { attachEpoch: 1 }));
  assert.is(again.shards[0]!.primary_rep_index, 1);
  assert.is(again.status, 'DEGRADED');
  await cluster.end();
});

test('stores that die together keep their places: all of them hold everything', async () => {
  const cluster = await SimCluster.start(19, 3);
  await cluster.createVolume('data', 3);
  await cluster.ask((client) => client.openVolume('data'));
  for (const number of [1, 2, 3]) cluster.killStore(number);
  await cluster.run(3000);
  assert.is(cluster.shardOf('data'), '1S* 2S 3S meta 1');
  await cluster.startStore(2);
  // It may be that only this conductor heard nobody: the other two have the usual time.
  await cluster.run(1500);
  assert.is(cluster.shardOf('data'), '1S* 2S 3S meta 1');
  await cluster.until(() => cluster.shardOf('data') === '1O 2S* 3O meta 2', 200);
  await cluster.end();
});

test('a conductor that was cut off from everybody takes nobody out when it is back', async () => {
  for (const cutMs of [1000, 2000, 5000]) {
    const cluster = await SimCluster.start(31, 3);
    await cluster.createVolume('data', 3);
    await cluster.ask((client) => client.openVolume('data'));
    await cluster.run(137);
    const stores = [1, 2, 3].map((number) => cluster.sim.machine(`store${number}`));
    cluster.sim.network.partition([cluster.sim.machine('conductor')], stores);
    await cluster.run(cutMs);
    cluster.sim.network.healAll();
    await cluster.run(5000);
    assert.is(cluster.shardOf('data'), '1S* 2S 3S meta 1', `after ${cutMs} ms`);
    await cluster.end();
  }
});

test('two of three that die together cost one new configuration', async () => {
  const cluster = await SimCluster.start(20, 3);
  await cluster.createVolume('data', 3);
  await cluster.ask((client) => client.openVolume('data'));
  for (const number of [1, 2]) cluster.killStore(number);
  await cluster.until(() => cluster.shardOf('data') !== '1S* 2S 3S meta 1');
  assert.is(cluster.shardOf('data'), '1O 2O 3S* meta 2');
  await cluster.end();
});

test('a store that stalls while another one dies holds the decision up until it is heard again', async () => {
  const cluster = await SimCluster.start(21, 3);
  await cluster.createVolume('data', 3);
  await cluster.ask((client) => client.openVolume('data'));
  cluster.killStore(1);
  await cluster.run(650);
  cluster.storeProcesses.get(2)!.pause();
  await cluster.until(() => cluster.conductor.monitor.livenessOf(1) === 'DEAD');
  await cluster.run(100);
  assert.is(cluster.shardOf('data'), '1S* 2S 3S meta 1');
  cluster.storeProcesses.get(2)!.resume();
  await cluster.until(() => cluster.shardOf('data') === '1O 2S* 3S meta 2', 50);
  await cluster.end();
});

test('a store that restarts between two heartbeats loses its place, and a late heartbeat of its old process is refused', async () => {
  const cluster = await SimCluster.start(5, 2);
  await cluster.createVolume('data', 2);
  await cluster.ask((client) => client.openVolume('data'));
  const old = cluster.store(1);
  cluster.killStore(1);
  await cluster.startStore(1);
  await cluster.until(() => cluster.shardOf('data') === '1R 2S* meta 2', 300);
  await cluster.storeProcesses.get(1)!.perform(() => cluster.store(1).beat({ incarnation: old.incarnation }));
  assert.match(cluster.store(1).heartbeatErrors.at(-1)!, /store 1 runs under a newer incarnation/);
  assert.is(cluster.shardOf('data'), '1R 2S* meta 2');
  await cluster.end();
});

test('the short heartbeat counts only for the process and the conductor that know each other, and keeps a store alive', async () => {
  const cluster = await SimCluster.start(51, 1);
  const { storeId, incarnation } = cluster.store(1);
  const refused = /store 1 has not been heard of lately as incarnation ".*" with report \d+: send a full heartbeat/;
  const say = async (id: number, as: string, report = 0): Promise<string> => {
    try {
      await cluster.ask((client) => client.stillAlive(id, { incarnation: as, report }));
      return 'heard';
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.is(await say(storeId, incarnation), 'heard');
  assert.match(await say(storeId, 'another'), refused);
  assert.match(await say(storeId, incarnation, 5), refused, 'something else than what was heard last');
  assert.match(await say(77, incarnation), /store 77 has not been heard of/);
  cluster.killStore(1);
  for (let count = 0; count < 10; count += 1) {
    assert.is(await say(storeId, incarnation), 'heard');
    await cluster.run(600);
  }
  assert.is(cluster.conductor.monitor.livenessOf(1), 'LIVE');
  await cluster.until(() => cluster.conductor.monitor.livenessOf(1) === 'DEAD');
  assert.match(await say(storeId, incarnation), refused);
  assert.is(cluster.conductor.monitor.livenessOf(1), 'DEAD', 'the dead are not raised by it');
  await cluster.end();
});

test('a heartbeat that arrives after a later one of the same process says nothing any more', async () => {
  const cluster = await SimCluster.start(52, 1);
  const store = cluster.store(1);
  const beat = (report: number, status: 'OK' | 'ERROR'): Promise<void> => {
    store.diskStatus = status;
    return cluster.storeProcesses.get(1)!.perform(() => store.beat({ report }));
  };
  await beat(7, 'ERROR');
  assert.is(cluster.conductor.monitor.isDiskUsable(1, store.diskUuid), false);
  await beat(6, 'OK');
  assert.match(store.heartbeatErrors.at(-1)!, /store 1 has sent a later heartbeat than report 6/);
  assert.is(cluster.conductor.monitor.isDiskUsable(1, store.diskUuid), false);
  await beat(8, 'OK');
  assert.is(cluster.conductor.monitor.isDiskUsable(1, store.diskUuid), true);
  await cluster.end();
});

test('the last in-sync replica stays through its death and returns as it was', async () => {
  const cluster = await SimCluster.start(6, 2);
  await cluster.createVolume('data', 2);
  const opened = await cluster.ask((client) => client.openVolume('data'));
  cluster.killStore(2);
  await cluster.until(() => cluster.shardOf('data') === '1S* 2O meta 2');
  cluster.killStore(1);
  await cluster.until(() => cluster.conductor.monitor.livenessOf(1) === 'DEAD');
  await cluster.startStore(2);
  await cluster.run(5000);
  assert.is(cluster.shardOf('data'), '1S* 2O meta 2', 'the one that is out of sync is never promoted');
  assert.is((await cluster.ask((client) => client.listVolume()))[0]!.status, 'ERROR');
  const error = await rejection(cluster.ask((client) => client.openVolume('data')));
  assert.is(error.code, 'UNAVAILABLE');
  assert.match(error.message, /the primary of shard 0 did not take attach epoch 2 within 10000 ms/);
  await cluster.startStore(1);
  await cluster.until(() => cluster.shardOf('data') === '1S* 2R meta 3', 300);
  await cluster.until(() => cluster.store(1).held.get(opened.volume_id)?.attach_epoch === 2, 300);
  await cluster.end();
});

test('the primary takes a secondary out; whoever else says so is told the configuration instead', async () => {
  const cluster = await SimCluster.start(7, 3);
  await cluster.createVolume('data', 3);
  const volume = await cluster.ask((client) => client.openVolume('data'));
  const say = (number: number, replicaIndex: number, metaVersion: number, more: object = {}) => {
    const store = cluster.store(number);
    const request = {
      op: 'handle_error',
      ...store.report(replicaId(volume, replicaIndex), metaVersion),
      sc: 0xc3,
      ...more,
    } as const;
    return cluster.storeProcesses.get(number)!.perform(() => store.client.handleError(request));
  };
  assert.match((await say(2, 0, 1)).reason!, /store 2 is not the primary of shard 0 of volume "data"/);
  assert.match((await say(1, 1, 2)).reason!, /has meta version 1, not 2/);
  assert.match((await say(1, 1, 1, { incarnation: 'older' })).reason!, /store 1 is not known under incarnation "older"/);
  const refused = await say(1, 1, 7);
  assert.is(refused.ret_code, 7);
  assert.is(refused.volume!.shards[0]!.meta_ver, 1);
  assert.is(cluster.shardOf('data'), '1S* 2S 3S meta 1');

  const taken = await say(1, 1, 1);
  assert.is(taken.ret_code, 0);
  assert.equal(
    taken.volume!.shards[0]!.replicas.map((replica) => replica.status),
    ['IN_SYNC', 'OUT_OF_SYNC', 'IN_SYNC'],
  );
  assert.is(cluster.shardOf('data'), '1S* 2O 3S meta 2');
  const handedOver = await say(1, 0, 2);
  assert.is(handedOver.ret_code, 0, 'a primary may report its own disk');
  assert.is(cluster.shardOf('data'), '1O 2O 3S* meta 3');
  const last = await say(3, 2, 3);
  assert.is(last.ret_code, 7);
  assert.match(last.reason!, /is the last in-sync one that lives: it stays/);
  const gone = await rejection(
    cluster.storeProcesses
      .get(1)!
      .perform(() =>
        cluster.store(1).client.handleError({ op: 'handle_error', ...cluster.store(1).report(99 * 2 ** 24, 1), sc: 1 }),
      ),
  );
  assert.is(gone.code, 'NOT_FOUND');
  await cluster.end();
});

test('a replica that keeps failing rests longer and longer before it recovers', async () => {
  const cluster = await SimCluster.start(8, 2);
  await cluster.createVolume('data', 2);
  const volume = await cluster.ask((client) => client.openVolume('data'));
  const primary = cluster.store(1);
  const rests: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const metaVersion = cluster.conductor.state.volumes.get(volume.volume_id)!.shards[0]!.metaVersion;
    await cluster.storeProcesses
      .get(1)!
      .perform(() =>
        primary.client.handleError({ op: 'handle_error', ...primary.report(replicaId(volume, 1), metaVersion), sc: 0xc1 }),
      );
    const failedAt = cluster.sim.now;
    await cluster.until(() => cluster.shardOf('data').startsWith('1S* 2R'));
    rests.push(Math.round((cluster.sim.now - failedAt) / 100) * 100);
  }
  assert.equal(rests, [300, 600, 1200, 2400, 4800]);
  await cluster.end();
});

test('the disk of a replica fails: it is taken out although its store lives', async () => {
  const cluster = await SimCluster.start(9, 2);
  await cluster.createVolume('data', 2);
  cluster.store(1).diskStatus = 'ERROR';
  await cluster.until(() => cluster.shardOf('data') === '1O 2S* meta 2', 1000);
  const disks = await cluster.ask((client) => client.listDisk());
  assert.equal(
    disks.map((disk) => [disk.store_id, disk.status]),
    [
      [1, 'ERROR'],
      [2, 'OK'],
    ],
  );
  await cluster.end();
});

test('a store that refuses is asked again until it takes the configuration', async () => {
  const cluster = await SimCluster.start(10, 2);
  cluster.store(1).failCalls = 3;
  await cluster.createVolume('data', 1);
  const opened = await cluster.ask((client) => client.openVolume('data'));
  assert.is(opened.attach_epoch, 1);
  assert.ok(cluster.store(1).calls.length >= 4, cluster.store(1).calls.join('; '));
  await cluster.end();
});

test('an open waits for a primary that holds a configuration back, at most ten seconds', async () => {
  const cluster = await SimCluster.start(11, 1);
  await cluster.createVolume('data', 1);
  cluster.store(1).isHoldingBack = true;
  cluster.sim.schedule(800, () => (cluster.store(1).isHoldingBack = false));
  const startedAt = cluster.sim.now;
  await cluster.ask((client) => client.openVolume('data'));
  const waitedMs = cluster.sim.now - startedAt;
  assert.ok(waitedMs >= 780 && waitedMs < 1000, `it took ${waitedMs} ms`);
  cluster.store(1).isHoldingBack = true;
  const error = await rejection(cluster.ask((client) => client.openVolume('data')));
  assert.is(error.code, 'UNAVAILABLE');
  assert.match(error.message, /shard 0 did not take attach epoch 2/);
  await cluster.end();
});

test('a restarted conductor has the same state, declares nobody dead at first, and tells everybody everything again', async () => {
  const cluster = await SimCluster.start(12, 3);
  await cluster.createVolume('data', 3);
  await cluster.ask((client) => client.openVolume('data'));
  await cluster.createVolume('gone', 2);
  await cluster.ask((client) => client.deleteVolume('gone'));
  const hash = cluster.conductor.stateHash();
  cluster.conductorProcess.crash();
  cluster.killStore(3);
  for (const number of [1, 2]) cluster.store(number).calls.length = 0;
  await cluster.startConductor();
  const startedAt = cluster.sim.now;
  assert.is(cluster.conductor.stateHash(), hash);
  await cluster.until(() => cluster.store(1).calls.length > 0 && cluster.store(2).calls.length > 0, 1000);
  assert.equal(cluster.store(1).calls[0], 'prepare data epoch 1 meta 1');
  await cluster.until(() => cluster.shardOf('data') !== '1S* 2S 3S meta 1');
  assert.is(cluster.shardOf('data'), '1S* 2S 3O meta 2');
  const waitedMs = cluster.sim.now - startedAt;
  assert.ok(waitedMs >= 1595 && waitedMs < 1700, `decided after ${waitedMs} ms`);
  await cluster.end();
});

test('a store that restarted while the conductor was down is noticed', async () => {
  const cluster = await SimCluster.start(13, 2);
  await cluster.createVolume('data', 2);
  cluster.conductorProcess.crash();
  cluster.killStore(1);
  await cluster.startConductor();
  await cluster.startStore(1);
  await cluster.until(() => cluster.shardOf('data') === '1R 2S* meta 2', 1200);
  await cluster.end();
});

test('a creation right after the start waits until the stores have been heard of', async () => {
  const cluster = await SimCluster.start(14, 2);
  cluster.conductorProcess.crash();
  await cluster.startConductor();
  assert.is((await cluster.createVolume('data', 2)).status, 'OK');
  await cluster.end();
});

test('a deletion reaches a store that was dead at the time, across a restart of the conductor', async () => {
  const cluster = await SimCluster.start(15, 2);
  const { id } = await cluster.createVolume('data', 2);
  await cluster.ask((client) => client.openVolume('data'));
  cluster.killStore(2);
  await cluster.until(() => cluster.conductor.monitor.livenessOf(2) === 'DEAD');
  const reply = await cluster.ask((client) => client.deleteVolume('data', { force: true }));
  assert.equal(reply.pending_stores, [2]);
  assert.is((await cluster.createVolume('data', 1)).id, 67 * 2 ** 24, 'the name is free at once');
  cluster.conductorProcess.crash();
  await cluster.startConductor();
  const back = await cluster.startStore(2);
  back.failCalls = 2;
  await cluster.until(() => cluster.conductor.state.deletions.size === 0, 2000);
  assert.equal(back.deleted, [id]);
  await cluster.end();
});

test('heartbeats that tell nothing new are not written', async () => {
  const cluster = await SimCluster.start(16, 3);
  await cluster.createVolume('data', 3);
  await cluster.ask((client) => client.openVolume('data'));
  await cluster.run(1000);
  const { appliedIndex } = cluster.conductor.engine;
  const calls = cluster.store(1).calls.length;
  await cluster.run(60_000);
  assert.is(cluster.conductor.engine.appliedIndex, appliedIndex);
  assert.is(cluster.store(1).calls.length, calls, 'and nothing is pushed again');
  await cluster.end();
});

test('pages: the status page escapes what came from outside, the metrics count, the probe answers', async () => {
  const cluster = await SimCluster.start(17, 2);
  await cluster.createVolume('data', 2);
  await cluster.storeProcesses.get(1)!.perform(() => cluster.store(1).beat({ version: '<script>"&' }));
  const get = (target: string) =>
    cluster.ask(async (_client, world) => {
      const answer = await world.http.request({
        method: 'GET',
        host: cluster.sim.machine('conductor').address,
        port: 49180,
        target,
        timeoutMs: 1000,
      });
      return { status: answer.status, type: answer.contentType, text: new TextDecoder().decode(answer.body) };
    });
  const page = await get('/');
  assert.is(page.type, 'text/html; charset=utf-8');
  assert.ok(page.text.includes('&lt;script&gt;&quot;&amp;') && !page.text.includes('<script'));
  assert.ok(page.text.includes('data') && page.text.includes('2 of 2'));
  const metrics = await get('/metrics');
  assert.match(metrics.text, /^pureflash_store_up\{store="1",host="host1"\} 1$/m);
  assert.match(metrics.text, /^pureflash_volumes\{status="OK"\} 1$/m);
  assert.match(metrics.text, /^pureflash_replicas\{status="IN_SYNC"\} 2$/m);
  assert.equal(await get('/healthz'), { status: 200, type: 'text/plain; charset=utf-8', text: 'ok\n' });
  assert.is((await get('/nothing')).status, 404);
  await cluster.end();
});

test('whatever is thrown at the door, a JSON error comes back and the conductor lives', async () => {
  const cluster = await SimCluster.start(18, 1);
  const { random } = cluster.sim;
  const pick = <T>(from: readonly T[]): T => from[random.below(from.length)]!;
  const ops = [
    'heartbeat',
    'still_alive',
    'handle_error',
    'recovery_done',
    'create_volume',
    'open_volume',
    'resize_volume',
    'close_volume',
    'detach_volume',
    'delete_volume',
    'list_volume',
    'get_volume',
    'get_volumes',
    'get_cluster',
    'toString',
    '__proto__',
    '',
  ];
  const keys = [
    'volume_name',
    'size',
    'rep_cnt',
    'shard_size',
    'read_only',
    'attach_epoch',
    'request_id',
    'client',
    'force',
    'store_id',
    'incarnation',
    '__proto__',
    'constructor',
    'x'.repeat(5000),
  ];
  const values = [
    '',
    'data',
    '-1',
    '0',
    '4096',
    '1e9',
    '99999999999999999999',
    'true',
    '../../etc',
    '%00',
    '\u{1f4a5}',
    'x'.repeat(20_000),
    'null',
    '{}',
  ];
  const bodies = [
    '',
    '{',
    'null',
    '[]',
    '{}',
    '"x"',
    '{"op":"heartbeat"}',
    '{"op":"get_volumes","names":["data","data","__proto__"]}',
    '{"op":"get_volumes","names":[1e999]}',
    '{"__proto__":{"a":1}}',
    `{"op":"handle_error","store_id":1e999}`,
    '['.repeat(50_000),
    '\u0000',
  ];
  for (let round = 0; round < 400; round += 1) {
    let target = `/s5c/?op=${encodeURIComponent(pick(ops))}`;
    for (let count = random.below(4); count > 0; count -= 1)
      target += `&${encodeURIComponent(pick(keys))}=${encodeURIComponent(pick(values))}`;
    const answer = await cluster.ask((_client, world) =>
      world.http.request({
        method: pick(['GET', 'POST'] as const),
        host: cluster.sim.machine('conductor').address,
        port: 49180,
        target,
        body: new TextEncoder().encode(pick(bodies)),
        timeoutMs: 20_000,
      }),
    );
    const reply = JSON.parse(new TextDecoder().decode(answer.body)) as Record<string, unknown>;
    assert.type(reply['op'], 'string');
    assert.ok([200, 400, 404, 409, 503].includes(answer.status), `${target}: ${answer.status}`);
    assert.is(answer.status === 200, reply['ret_code'] === 0, JSON.stringify(reply));
    if (answer.status !== 200)
      assert.ok(typeof reply['reason'] === 'string' && reply['reason'].length < 1000 && typeof reply['code'] === 'string');
  }
  assert.is((await cluster.ask((client) => client.getCluster())).cluster_name, 'test');
  await cluster.end();
});

test('crashes at any moment lose nothing that was answered', async () => {
  for (let seed = 100; seed < 110; seed += 1) {
    const cluster = await SimCluster.start(seed, 2);
    const answered = new Map<string, number>();
    let next = 1;
    const worker = cluster.begin(async (client) => {
      for (; next <= 30; next += 1) {
        const name = `v${next}`;
        await client.createVolume(name, { sizeBytes: GiB, replicaCount: 2, deadlineMs: 60_000 });
        answered.set(name, (await client.openVolume(name, { deadlineMs: 60_000 })).attach_epoch);
      }
    });
    let isDone = false;
    void worker.then(() => (isDone = true));
    while (!isDone) {
      await cluster.run(50 + cluster.sim.random.below(400));
      cluster.conductorProcess.crash({ peers: cluster.sim.random.below(2) === 0 ? 'reset' : 'silence' });
      await cluster.startConductor();
      for (const [name, epoch] of answered) {
        const { state } = cluster.conductor;
        const volume = state.volumes.get(state.volumeIdByName.get(name) ?? 0);
        assert.ok(volume !== undefined && volume.attachEpoch >= epoch, `seed ${seed}: ${name} was answered with epoch ${epoch}`);
      }
      await cluster.run(1500);
    }
    await worker;
    assert.is(answered.size, 30);
    await cluster.end();
  }
});

test.run();

// Stores that have a network of their own for each other: two doors, each with its own guests.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ClientSession } from '../wire/client-session.ts';
import { STATUS_OK } from '../wire/status.ts';
import { CLUSTER_TOKEN, VOLUME_ID, VOLUME_TOKEN } from './testing/fake-conductor.ts';
import { StoreRig } from './testing/store-rig.ts';

const CLIENTS_PORT = 49162;
const STORES_PORT = 49163;

/** A connection to the first store at this port. */
function enter(rig: StoreRig, port: number, volumeId: number, token: number, clientId = 99): Promise<ClientSession> {
  const address = { kind: 'tcp', host: rig.sim.machine('a').address, port } as const;
  return rig.client.perform((world) =>
    ClientSession.connect(world, address, { volumeId, clientId, token, depth: 8, silenceLimitMs: 0 }),
  );
}

/** Who the first store lets in at this port: "up", or the refusal. */
async function knock(rig: StoreRig, port: number, volumeId: number, token: number): Promise<string> {
  try {
    const session = await enter(rig, port, volumeId, token);
    await rig.client.perform(() => session.close());
    return 'up';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('a write goes to the other replicas by their door for stores', async () => {
  const rig = await StoreRig.configured(61, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC'], { hasReplicationNetwork: true });
  const { address } = rig.sim.machine('b');
  assert.is(rig.conductor.stores.get(2)!.data_address, `${address}:${CLIENTS_PORT}`);
  assert.is(rig.conductor.stores.get(2)!.replication_address, `${address}:${STORES_PORT}`);
  assert.is(await rig.write(0, 0, 128 * 1024, 3), STATUS_OK);
  assert.is(await rig.digest(1), await rig.digest(0));
  assert.is(await rig.digest(2), await rig.digest(0));
  await rig.close();
});

test('each door turns the other one’s guests away, whatever token they carry', async () => {
  const rig = await StoreRig.configured(62, ['IN_SYNC'], { hasReplicationNetwork: true });
  assert.is(await knock(rig, CLIENTS_PORT, VOLUME_ID, VOLUME_TOKEN), 'up');
  assert.is(await knock(rig, CLIENTS_PORT, 0, CLUSTER_TOKEN), 'PERMISSION_DENIED');
  assert.is(await knock(rig, STORES_PORT, 0, CLUSTER_TOKEN), 'up');
  assert.is(await knock(rig, STORES_PORT, 0, CLUSTER_TOKEN + 1), 'PERMISSION_DENIED');
  assert.is(await knock(rig, STORES_PORT, VOLUME_ID, VOLUME_TOKEN), 'PERMISSION_DENIED');
  await rig.close();
});

test('without a network of their own stores come in where clients do', async () => {
  const rig = await StoreRig.configured(63, ['IN_SYNC']);
  assert.is(rig.conductor.stores.get(1)!.replication_address, null);
  assert.is(await knock(rig, CLIENTS_PORT, 0, CLUSTER_TOKEN), 'up');
  assert.is(await knock(rig, CLIENTS_PORT, VOLUME_ID, VOLUME_TOKEN), 'up');
  await rig.close();
});

test('connections at both doors are counted, and those at a door for stores alone too', async () => {
  const rig = await StoreRig.configured(64, ['IN_SYNC'], { hasReplicationNetwork: true });
  const counted = async (): Promise<readonly unknown[]> => [
    await rig.metric(0, 'connections'),
    rig.stores[0]!.dump()['connections'],
  ];
  assert.equal(await counted(), [0, 0]);
  const store = await enter(rig, STORES_PORT, 0, CLUSTER_TOKEN);
  assert.equal(await counted(), [1, 1]);
  const clients = [
    await enter(rig, CLIENTS_PORT, VOLUME_ID, VOLUME_TOKEN, 1),
    await enter(rig, CLIENTS_PORT, VOLUME_ID, VOLUME_TOKEN, 2),
  ];
  assert.equal(await counted(), [3, 3]);
  for (const session of [store, ...clients]) await rig.client.perform(() => session.close());
  await rig.sim.run(() => rig.stores[0]!.dump()['connections'] === 0, { withinMs: 1000 });
  assert.equal(await counted(), [0, 0]);
  await rig.close();
});

test('a store that is closed listens at neither door any more, and whoever was in is out', async () => {
  const rig = await StoreRig.configured(65, ['IN_SYNC'], { hasReplicationNetwork: true });
  const inside = [await enter(rig, CLIENTS_PORT, VOLUME_ID, VOLUME_TOKEN), await enter(rig, STORES_PORT, 0, CLUSTER_TOKEN)];
  await rig.processes[0]!.perform(() => rig.stores[0]!.close());
  assert.is(rig.processes[0]!.isAlive, true, 'nothing else closes its doors');
  assert.is(await knock(rig, CLIENTS_PORT, VOLUME_ID, VOLUME_TOKEN), 'CONNECTION_LOST');
  assert.is(await knock(rig, STORES_PORT, 0, CLUSTER_TOKEN), 'CONNECTION_LOST');
  await rig.sim.run(() => inside.every((session) => !session.isUp), { withinMs: 1000 });
  const left = [...rig.processes[0]!.resources].map((resource) => resource.describe());
  assert.equal(left, []);
  await rig.close();
});

test.run();

// Stores that have a network of their own for each other: two doors, each with its own guests.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ClientSession } from '../wire/client-session.ts';
import { STATUS_OK } from '../wire/status.ts';
import { CLUSTER_TOKEN, VOLUME_ID, VOLUME_TOKEN } from './testing/fake-conductor.ts';
import { StoreRig } from './testing/store-rig.ts';

const CLIENTS_PORT = 49162;
const STORES_PORT = 49163;

/** Who the first store lets in at this port: "up", or the refusal. */
async function knock(rig: StoreRig, port: number, volumeId: number, token: number): Promise<string> {
  const address = { kind: 'tcp', host: rig.sim.machine('a').address, port } as const;
  try {
    const session = await rig.client.perform((world) =>
      ClientSession.connect(world, address, { volumeId, clientId: 99, token, depth: 8, silenceLimitMs: 0 }),
    );
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

test.run();

// deadline: 240s
// needs: kube openssl setpriv
// A StorageCluster with the external engine on a real API server with its controllers, and nodes without a kubelet: what the operator makes for
// managed ZooKeeper and MariaDB servers, that it makes it once, and that it goes with its cluster. Servers that run: zookeeper-servers.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '@pureflash/datapath/base';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { useControlPlane } from '../kube/suite.ts';
import {
  clusterSeen,
  installCrds,
  NAMESPACE,
  OperatorProcess,
  specOnFiles,
  storageCluster,
  waitForCondition,
} from './operator-rig.ts';
import { WriteGate } from './write-gate.ts';

const PATIENCE_MS = 40_000;
const HERE = ['-n', NAMESPACE];
const folder = mkdtempSync(join(tmpdir(), 'pureflash-servers-'));
const plane = useControlPlane(test, { withControllerManager: true });
let gate: WriteGate;
let operator: OperatorProcess;

const external = (mariadb: JsonObject = {}): JsonObject =>
  specOnFiles({ metadataEngine: 'external', zookeeper: { managed: {} }, mariadb: { managed: mariadb } });

test.before(
  sayWhy(async () => {
    await installCrds(plane());
    for (const number of [1, 2, 3]) await addNode(number);
    gate = await WriteGate.open(plane(), { judge: () => null, strike: async () => {} });
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, gate.kubeconfig);
    operator = new OperatorProcess(kubeconfig, folder);
    operator.start();
    await plane().apply([storageCluster('demo', external({ replicas: 3 }))]);
  }),
);

test.after(async () => {
  await operator.kill();
  await gate.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Seen {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[];
  };
  readonly spec: JsonObject;
  readonly data?: Readonly<Record<string, string>>;
}

const KINDS = 'sts,svc,cm,secret,pdb,networkpolicy';

async function objectsOf(component: string, kinds = KINDS): Promise<readonly Seen[]> {
  const selector = `app.kubernetes.io/name=pureflash,app.kubernetes.io/component=${component}`;
  const text = await plane().kubectl('get', kinds, ...HERE, '-l', selector, '-o', 'json');
  return (JSON.parse(text) as { items: Seen[] }).items;
}

const namesOf = (objects: readonly Seen[]): string[] => objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort();

test('servers and everything around them are made, and belong to the cluster', async () => {
  await waitForCondition(plane(), 'demo', 'ConductorsReady', 'False', PATIENCE_MS, 'EngineNotAvailable');
  await waitFor('the StatefulSet of MariaDB', PATIENCE_MS, async () =>
    (await objectsOf('mariadb', 'sts')).length > 0 ? true : null,
  );
  const zookeeper = await objectsOf('zookeeper');
  assert.equal(namesOf(zookeeper), [
    'ConfigMap demo-zookeeper',
    'NetworkPolicy demo-zookeeper',
    'PodDisruptionBudget demo-zookeeper',
    'Service demo-zookeeper',
    'Service demo-zookeeper-peers',
    'StatefulSet demo-zookeeper',
  ]);
  const mariadb = await objectsOf('mariadb');
  assert.equal(namesOf(mariadb), [
    'ConfigMap demo-mariadb',
    'NetworkPolicy demo-mariadb',
    'PodDisruptionBudget demo-mariadb',
    'Secret demo-mariadb',
    'Service demo-mariadb',
    'Service demo-mariadb-peers',
    'StatefulSet demo-mariadb',
  ]);
  for (const { kind, metadata } of [...zookeeper, ...mariadb])
    assert.equal(
      metadata.ownerReferences?.map((each) => [each.kind, each.name]),
      [['StorageCluster', 'demo']],
      kind,
    );
  assert.equal(await objectsOf('store', 'sts'), []);
  assert.equal(await objectsOf('conductor', 'sts'), []);
});

test('each server has a claim that is bound to its folder on a node', async () => {
  await waitFor('six claims to be bound', PATIENCE_MS, async () => {
    const phases = await plane().kubectl('get', 'pvc', ...HERE, '-o', 'jsonpath={.items[*].status.phase}');
    return phases === Array(6).fill('Bound').join(' ') || null;
  });
  const pods = await plane().kubectl('get', 'pods', ...HERE, '-o', 'jsonpath={.items[*].metadata.name}');
  assert.equal(
    pods.split(' ').sort(),
    [0, 1, 2].map((n) => `demo-mariadb-${n}`).concat([0, 1, 2].map((n) => `demo-zookeeper-${n}`)),
  );
});

test('conditions follow the pods, and conductors wait for a version that has the engine', async () => {
  const starting = await waitForCondition(plane(), 'demo', 'ZooKeeperReady', 'False', PATIENCE_MS, 'Starting');
  assert.match(starting.message, '0 of 3 serve; waiting for zookeeper 0 on node-1');
  for (const name of ['demo-zookeeper-0', 'demo-zookeeper-2', 'demo-mariadb-0', 'demo-mariadb-1', 'demo-mariadb-2'])
    await setReady(name);
  const two = await waitForCondition(plane(), 'demo', 'ZooKeeperReady', 'True', PATIENCE_MS);
  assert.equal([two.reason, two.message], ['ServerMissing', '2 of 3 serve; waiting for zookeeper 1 on node-2']);
  await waitForCondition(plane(), 'demo', 'MetadataStoreReady', 'True', PATIENCE_MS, 'Serving');
  const ready = await waitForCondition(plane(), 'demo', 'Ready', 'False', PATIENCE_MS, 'EngineNotAvailable');
  assert.match(ready.message, 'metadataEngine: embedded');
});

test('once a Galera cluster has served, no server may found another', async () => {
  await waitFor('the word', PATIENCE_MS, async () => {
    const files = (await objectsOf('mariadb', 'cm'))[0]!.data!;
    return files['founding'] === 'done\n' || null;
  });
});

test('passwords are long, different, and nowhere but in their Secret', async () => {
  const { data } = (await plane().find('secret/demo-mariadb', ...HERE)) as { data: Record<string, string> };
  const passwords = Object.entries(data).flatMap(([key, value]) => (key === 'username' ? [] : [atob(value)]));
  assert.is(new Set(passwords).size, 4);
  const others = JSON.stringify([
    ...(await objectsOf('mariadb', 'sts,svc,cm,pdb,networkpolicy')),
    await clusterSeen(plane(), 'demo'),
  ]);
  const log = readFileSync(operator.logPath, 'utf8');
  for (const password of passwords) {
    assert.match(password, /^[0-9a-f]{64}$/);
    assert.not(others.includes(password) || log.includes(password));
  }
});

test('a second look writes nothing, and neither does a second operator', async () => {
  await gate.untilQuiet(PATIENCE_MS);
  const before = (await plane().find('secret/demo-mariadb', ...HERE)) as { data: JsonObject };
  const writes = gate.writes.length;
  await operator.stop();
  operator.start();
  await waitFor('the new operator to look', PATIENCE_MS, async () => {
    await sleep(500);
    return /leads[^]*leads/.test(readFileSync(operator.logPath, 'utf8')) || null;
  });
  await sleep(3_000);
  assert.equal(gate.writes.slice(writes), []);
  assert.equal(((await plane().find('secret/demo-mariadb', ...HERE)) as { data: JsonObject }).data, before.data);
});

test('policies let in peers, and the node of the conductor', async () => {
  const [policy] = await objectsOf('mariadb', 'networkpolicy');
  const { ingress } = policy!.spec as unknown as { ingress: { from: JsonObject[]; ports: { port: number }[] }[] };
  assert.equal(
    ingress.map(({ ports }) => ports.map((each) => each.port)),
    [[4567, 4568, 4444], [3306]],
  );
  assert.equal(ingress[1]!.from, [{ ipBlock: { cidr: `${plane().place.subnet}.1.1/32` } }]);
  const open = JSON.stringify({ spec: { security: { networkPolicies: false } } });
  await plane().kubectl('patch', 'pfcl', 'demo', ...HERE, '--type=merge', '-p', open);
  await waitFor('the policies to go', PATIENCE_MS, async () =>
    (await objectsOf('mariadb', 'networkpolicy')).length === 0 ? true : null,
  );
});

test('with its cluster everything goes but data: claims of a storage class stay', async () => {
  await plane().apply([storageCluster('classy', { ...external({ storageClassName: 'fast' }), ports: { conductor: 5000 } })]);
  await waitFor('its claim', PATIENCE_MS, async () => {
    const claims = await plane().kubectl('get', 'pvc', ...HERE, '-o', 'name');
    return claims.includes('data-classy-mariadb-0') || null;
  });
  await plane().kubectl('delete', 'pfcl', 'demo', 'classy', ...HERE, '--wait=false');
  for (const name of ['demo', 'classy'])
    await waitFor(`${name} to go`, PATIENCE_MS, async () => ((await clusterSeen(plane(), name)) === null ? true : null));
  await waitFor('what was theirs to go', PATIENCE_MS, async () => {
    const left = [...(await objectsOf('zookeeper')), ...(await objectsOf('mariadb'))];
    return left.length === 0 || null;
  });
  const volumes = await waitFor('volumes to go', PATIENCE_MS, async () => {
    const text = await plane().kubectl('get', 'pv', '-o', 'name');
    return text.trim() === '' ? 'none' : null;
  });
  assert.is(volumes, 'none');
  const claims = await plane().kubectl('get', 'pvc', ...HERE, '-o', 'jsonpath={.items[*].metadata.name}');
  assert.is(claims, 'data-classy-mariadb-0');
});

/** As a kubelet says it. */
async function setReady(pod: string): Promise<void> {
  const status = JSON.stringify({ status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } });
  await plane().kubectl('patch', 'pod', pod, ...HERE, '--subresource=status', '--type=merge', '-p', status);
}

async function addNode(number: number): Promise<void> {
  const name = `node-${number}`;
  await plane().apply([{ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } } }]);
  const status = {
    addresses: [{ type: 'InternalIP', address: `${plane().place.subnet}.1.${number}` }],
    conditions: [{ type: 'Ready', status: 'True' }],
  };
  await plane().kubectl('patch', 'node', name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status }));
}

test.run();

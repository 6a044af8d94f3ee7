// The objects of a few clusters, as golden files: what is reviewed is the difference between pods. PF_UPDATE=1 writes them anew.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import type { JsonObject, KubeObject } from '../api/objects.ts';
import { clusterNameRule } from '../api/v1alpha1/parts.ts';
import { desiredObjects } from '../cluster/steps.ts';
import { isContained } from '../cluster/contained.ts';
import type { ClusterPlan } from '../plan/cluster-plan.ts';
import { planCluster } from '../plan/plan-cluster.ts';
import { carriedOut, nodeOf, plainHash, specOf, viewOf } from '../plan/testing/views.ts';
import type { ClusterView } from '../plan/view.ts';
import { serverPasswords, shortName, type ClusterFrame } from './builders.ts';
import { canonicalSize } from './folder-volume.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');

function objectsOf(view: ClusterView, plan: ClusterPlan): string {
  const frame: ClusterFrame = { name: view.name, namespace: view.namespace, uid: 'u-1', spec: view.spec, hash: plainHash };
  const objects = desiredObjects(frame, plan, { hasServiceMonitors: true, failedLooks: [], csiRole: 'pureflash-csi' });
  assert.ok(objects.every((object) => isContained(object, object)));
  return objects.map((object) => stringify(object, { aliasDuplicateObjects: false, lineWidth: 130 })).join('---\n');
}

function isGolden(name: string, text: string): void {
  const path = join(TESTDATA, `${name}.yaml`);
  if (process.env['PF_UPDATE'] === '1') writeFileSync(path, text);
  assert.fixture(text, readFileSync(path, 'utf8'));
}

test('a cluster on files', () => {
  const fresh = viewOf();
  const view = carriedOut(fresh, planCluster(fresh, plainHash));
  isGolden('files', objectsOf(view, planCluster(view, plainHash)));
});

test('a cluster on devices, whose nodes are looked at first, with networks for data', () => {
  const networks = { client: '10.1.0.0/16', replication: '10.2.0.0/16' };
  const stores = {
    devices: { filter: { minSize: '1Ti' } },
    resources: { requests: { memory: '1Gi' } },
    tolerations: [{ key: 'storage', operator: 'Exists' }],
  };
  const view = viewOf({
    spec: specOf({ stores, networks, imagePullSecrets: [{ name: 'pull' }] } as never),
    nodes: [nodeOf(1), nodeOf(2)],
  });
  const looking = planCluster(view, plainHash);
  const device = {
    path: '/dev/disk/by-id/nvme-1',
    name: 'nvme0n1',
    sizeBytes: 2 ** 41,
    use: 'blank',
    candidate: 'any',
    isInUse: false,
  } as const;
  const { selection } = looking.discover[0]!;
  const seen = { ...view, discovery: new Map([['n1', { selection, devices: [device] }]]) };
  isGolden('devices', objectsOf(seen, planCluster(seen, plainHash)));
});

const EXTERNAL = {
  metadataEngine: 'external',
  zookeeper: { managed: { nodeSelector: { disk: 'fast' }, resources: { limits: { memory: '1Gi' } } } },
  mariadb: { managed: {} },
  placement: { failureDomain: 'rack' },
} as const;

test('a cluster with servers of the external engine, whose data lies on nodes', () => {
  const nodes = [1, 2, 3].map((number) => nodeOf(number, { labels: { rack: `r${number}`, disk: 'fast' } }));
  const fresh = viewOf({ spec: specOf(EXTERNAL), nodes });
  const view = carriedOut(fresh, planCluster(fresh, plainHash));
  isGolden('external', objectsOf(view, planCluster(view, plainHash)));
});

test('a laboratory of one ZooKeeper, and a Galera cluster on volumes of a class', () => {
  const zookeeper = { managed: { replicas: 1 } };
  const mariadb = { managed: { replicas: 3, storageClassName: 'fast', storageSize: '1024Gi', tolerations: [{ key: 'db' }] } };
  const security = { networkPolicies: false };
  const view = viewOf({ spec: specOf({ ...EXTERNAL, zookeeper, mariadb, security }) });
  isGolden('galera', objectsOf(view, planCluster(view, plainHash)));
});

test('passwords are made one by one, and are in no other object', () => {
  const view = viewOf({ spec: specOf(EXTERNAL) });
  const frame: ClusterFrame = { name: view.name, namespace: view.namespace, uid: 'u-1', spec: view.spec, hash: plainHash };
  let number = 0;
  const secret = serverPasswords(frame, () => `chance-${(number += 1)}`);
  assert.equal(secret['stringData'], {
    username: 'conductor',
    'root-password': 'chance-1',
    'conductor-password': 'chance-2',
    'monitor-password': 'chance-3',
    'replication-password': 'chance-4',
  });
  assert.is(secret['immutable'], true);
  assert.not.match(objectsOf(view, planCluster(view, plainHash)), /chance-/);
});

test('sizes are written as the API server would', () => {
  const written = ['1024Mi', '8Gi', 8 * 2 ** 30, '1500M', '2000M', '1536Mi', 1000].map(canonicalSize);
  assert.equal(written, ['1Gi', '8Gi', '8Gi', '1500M', '1953125Ki', '1536Mi', '1k']);
});

/** What the API server wants of names: of Services they are labels of DNS that begin with a letter. */
const NAMES: Readonly<Record<string, RegExp>> = { Service: /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/ };
const ANY_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const LABEL = /^([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$/;
/** A StatefulSet adds a hash to its name and makes a label of it; a pod has its name and a number. */
const SET_NAME = /^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$/;

test('the longest names that are taken give names and labels that are', () => {
  for (const name of ['a', `a${'-b'.repeat(31)}`, 'c'.repeat(63)]) {
    assert.ok(clusterNameRule.check(name), name);
    for (const spec of [specOf(), specOf(EXTERNAL)]) {
      const long = nodeOf(1, { name: `node-${'x.y'.repeat(60)}`, labels: { rack: 'z'.repeat(63), disk: 'fast' } });
      const others = [2, 3].map((number) => nodeOf(number, { labels: { rack: `r${number}`, disk: 'fast' } }));
      const nodes = spec.metadataEngine === 'external' ? [nodeOf(1, { labels: { disk: 'fast' } }), ...others] : [long, ...others];
      const view = viewOf({ name, namespace: 'n'.repeat(63), spec, nodes });
      for (const object of parseAllDocuments(objectsOf(view, planCluster(view, plainHash))))
        isNamedRight(object.toJS() as KubeObject);
    }
  }
});

function isNamedRight({ kind, metadata, ...content }: KubeObject): void {
  assert.match(metadata.name, kind === 'StatefulSet' ? SET_NAME : (NAMES[kind] ?? ANY_NAME), `${kind} ${metadata.name}`);
  const spec = content['spec'] as { selector?: JsonObject; template?: { metadata: { labels: JsonObject } } } | undefined;
  const labels = { ...metadata.labels, ...spec?.template?.metadata.labels };
  for (const [key, value] of Object.entries(labels)) assert.match(value as string, LABEL, `${kind} ${metadata.name}: ${key}`);
}

test('long names are cut and told apart by a hash', () => {
  const long = `demo-store-${'node.example.'.repeat(6)}`;
  const name = shortName(plainHash, long);
  assert.ok(name.length <= 52);
  assert.match(name, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
  assert.is.not(name, shortName(plainHash, `${long}b`));
  assert.is.not(shortName(plainHash, 'demo-store-a.b'), shortName(plainHash, 'demo-store-a-b'));
});

test('what the server adds is no difference; what somebody has changed is', () => {
  const wanted = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', labels: { a: '1' } }, data: { x: ['1', '2'] } };
  const live = { ...wanted, metadata: { ...wanted.metadata, uid: 'u', labels: { a: '1', b: '2' } }, immutable: false };
  assert.ok(isContained(wanted, live));
  assert.not.ok(isContained(wanted, null));
  assert.not.ok(isContained(wanted, { ...live, data: { x: ['1', '3'] } }));
  assert.not.ok(isContained(wanted, { ...live, data: { x: ['1', '2', '3'] } }));
  assert.not.ok(isContained(wanted, { ...live, metadata: { name: 'c', labels: {} } }));
});

test.run();

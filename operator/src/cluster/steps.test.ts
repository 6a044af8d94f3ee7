// Which calls a plan comes to, given what is there.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { refOf, type JsonObject, type KubeObject } from '../api/objects.ts';
import { planCluster } from '../plan/plan-cluster.ts';
import { carriedOut, controlOf, plainHash, specOf, viewOf } from '../plan/testing/views.ts';
import type { ClusterView } from '../plan/view.ts';
import { describeStep } from './execute.ts';
import { isRemoved, stepsOf, type Step } from './steps.ts';
import { Shelf, frameOf, keyOf } from './testing/shelf.ts';

const OPTIONS = { hasServiceMonitors: false, failedLooks: [], csiRole: 'pureflash-csi' };

function steps(view: ClusterView, shelf: Shelf): readonly Step[] {
  return stepsOf(frameOf(view), planCluster(view, plainHash), shelf, OPTIONS);
}

function standing(patch: Partial<ClusterView> = {}): { view: ClusterView; shelf: Shelf } {
  const fresh = viewOf(patch);
  const shelf = new Shelf();
  for (const step of steps(fresh, shelf)) shelf.perform(step);
  const view = carriedOut(fresh, planCluster(fresh, plainHash));
  for (const step of steps(view, shelf)) shelf.perform(step);
  return { view, shelf };
}

test('what is there already needs no call; what somebody changed is put back', () => {
  const { view, shelf } = standing();
  assert.equal(steps(view, shelf).map(describeStep), []);
  const config = shelf.objects.get('ConfigMap/demo-config')!;
  shelf.objects.set('ConfigMap/demo-config', { ...config, data: {} });
  assert.equal(steps(view, shelf).map(describeStep), ['apply v1 ConfigMap storage/demo-config']);
});

test('whoever dies after any number of steps makes the rest', () => {
  const fresh = viewOf();
  const whole = steps(fresh, new Shelf());
  for (let done = 0; done <= whole.length; done += 1) {
    const shelf = new Shelf();
    for (const step of whole.slice(0, done)) shelf.perform(step);
    assert.equal(steps(fresh, shelf).map(describeStep), whole.slice(done).map(describeStep), `after ${done} steps`);
  }
});

test('a store whose turn has not come keeps its workload, and nothing removes one', () => {
  const { view, shelf } = standing();
  const asked = { ...view, spec: specOf({ image: 'localhost/pureflash:1.3.0' }) };
  // A DaemonSet of pfnbd replaces no pod by itself.
  assert.equal(steps(asked, shelf).map(describeStep), [
    'apply apps/v1 StatefulSet storage/demo-conductor',
    'apply apps/v1 DaemonSet storage/demo-pfnbd',
    'apply apps/v1 DaemonSet storage/demo-csi-node',
    'apply apps/v1 Deployment storage/demo-csi-controller',
  ]);
  const without = { ...view, nodes: [], storeNodes: view.storeNodes };
  assert.equal(
    steps(without, shelf).filter((step) => step.kind === 'delete' && step.ref.kind === 'StatefulSet'),
    [],
  );
});

test('a refused spec changes nothing but the budgets of drains', () => {
  const { view, shelf } = standing();
  const refused = {
    ...view,
    spec: specOf({ image: 'localhost/pureflash:1.1.0', stores: { ...view.spec.stores, logLevel: 'debug' } as never }),
  };
  assert.equal(steps(refused, shelf).map(describeStep), []);
  const degraded = { ...refused, control: controlOf([1, 2, 3], { degraded: ['v1'], degradedCount: 1 }) };
  assert.equal(steps(degraded, shelf).map(describeStep), [
    'apply policy/v1 PodDisruptionBudget storage/demo-stores-n1',
    'apply policy/v1 PodDisruptionBudget storage/demo-stores-n2',
    'apply policy/v1 PodDisruptionBudget storage/demo-stores-n3',
    'delete policy/v1 PodDisruptionBudget storage/demo-stores-any',
  ]);
});

test('removal: what mounts volumes, stores, then conductors, then what says where their state is', () => {
  const { view, shelf } = standing();
  const removing = { ...view, isDeleting: true, isRemoving: true };
  const rounds: string[][] = [];
  for (let round = 0; round < 9 && !isRemoved(frameOf(view), shelf); round += 1) {
    const now = steps(removing, shelf);
    rounds.push(now.map((step) => (step.kind === 'delete' ? keyOf(step.ref) : 'unexpected')));
    for (const step of now) shelf.perform(step);
  }
  assert.equal(rounds, [
    ['Deployment/demo-csi-controller', 'DaemonSet/demo-csi-node'],
    ['StatefulSet/demo-store-n1', 'StatefulSet/demo-store-n2', 'StatefulSet/demo-store-n3'],
    ['StatefulSet/demo-conductor'],
    ['DaemonSet/demo-pfnbd'],
    [
      'PersistentVolume/pureflash-storage-demo-conductor-0',
      'StorageClass/pureflash',
      'ClusterRoleBinding/pureflash:storage:demo:csi',
      'CSIDriver/csi.pureflash.io',
    ],
  ]);
});

const external = (patch: JsonObject = {}) =>
  specOf({ metadataEngine: 'external', zookeeper: { managed: {} }, mariadb: { managed: {} }, ...patch });

test('the external engine: servers and what is around them, and a second look writes nothing', () => {
  const { view, shelf } = standing({ spec: external() });
  assert.equal(steps(view, shelf).map(describeStep), []);
  assert.equal(
    [...shelf.objects.keys()].filter((key) => /zookeeper|mariadb/.test(key)),
    [
      'ConfigMap/demo-zookeeper',
      'Service/demo-zookeeper',
      'Service/demo-zookeeper-peers',
      'NetworkPolicy/demo-zookeeper',
      'PersistentVolume/pureflash-storage-demo-zookeeper-0',
      'PersistentVolume/pureflash-storage-demo-zookeeper-1',
      'PersistentVolume/pureflash-storage-demo-zookeeper-2',
      'StatefulSet/demo-zookeeper',
      'ConfigMap/demo-mariadb',
      'Service/demo-mariadb',
      'Service/demo-mariadb-peers',
      'NetworkPolicy/demo-mariadb',
      'PersistentVolume/pureflash-storage-demo-mariadb-0',
      'StatefulSet/demo-mariadb',
      'PodDisruptionBudget/demo-zookeeper',
      'PodDisruptionBudget/demo-mariadb',
    ],
  );
});

test('servers come after their files and volumes, whenever the operator dies', () => {
  const fresh = viewOf({ spec: external() });
  const whole = steps(fresh, new Shelf());
  for (let done = 0; done <= whole.length; done += 1) {
    const shelf = new Shelf();
    for (const step of whole.slice(0, done)) shelf.perform(step);
    assert.equal(steps(fresh, shelf).map(describeStep), whole.slice(done).map(describeStep), `after ${done} steps`);
  }
});

test('a spec that is refused keeps the budgets of servers', () => {
  const { view, shelf } = standing({ spec: external() });
  const refused = { ...view, spec: external({ networks: { client: '10.0.0.0/8' } }) };
  assert.equal(steps(refused, shelf).map(describeStep), []);
});

test('policies go when they are switched off', () => {
  const { view, shelf } = standing({ spec: external() });
  const open = { ...view, spec: external({ security: { networkPolicies: false } }) };
  assert.equal(steps(open, shelf).map(describeStep), [
    'delete networking.k8s.io/v1 NetworkPolicy storage/demo-zookeeper',
    'delete networking.k8s.io/v1 NetworkPolicy storage/demo-mariadb',
  ]);
});

test('servers of an engine that is not asked for go; what says where their data lies stays', () => {
  const { view, shelf } = standing({ spec: external() });
  const deleted = steps({ ...view, spec: specOf() }, shelf).filter((step) => step.kind === 'delete');
  assert.equal(deleted.map(describeStep).sort(), [
    'delete apps/v1 StatefulSet storage/demo-mariadb',
    'delete apps/v1 StatefulSet storage/demo-zookeeper',
    'delete networking.k8s.io/v1 NetworkPolicy storage/demo-mariadb',
    'delete networking.k8s.io/v1 NetworkPolicy storage/demo-zookeeper',
    'delete policy/v1 PodDisruptionBudget storage/demo-mariadb',
    'delete policy/v1 PodDisruptionBudget storage/demo-zookeeper',
  ]);
});

test('removal of servers: the pods, then what says where their data is; claims of a storage class stay', () => {
  const { view, shelf } = standing({ spec: external({ mariadb: { managed: { storageClassName: 'fast' } } }) });
  const claim = (name: string, storageClassName: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'storage', labels: { 'app.kubernetes.io/instance': 'demo' } },
    spec: { storageClassName },
  });
  for (const each of [claim('data-demo-zookeeper-0', ''), claim('data-demo-mariadb-0', 'fast')])
    shelf.objects.set(keyOf(refOf(each)), each);
  const removing = { ...view, isDeleting: true, isRemoving: true };
  const rounds: string[][] = [];
  for (let round = 0; round < 5 && !isRemoved(frameOf(view), shelf); round += 1) {
    const now = steps(removing, shelf);
    rounds.push(now.map((step) => (step.kind === 'delete' ? keyOf(step.ref) : 'unexpected')));
    for (const step of now) shelf.perform(step);
  }
  assert.equal(rounds, [
    ['StatefulSet/demo-zookeeper', 'StatefulSet/demo-mariadb'],
    [
      'PersistentVolumeClaim/data-demo-zookeeper-0',
      'PersistentVolume/pureflash-storage-demo-zookeeper-0',
      'PersistentVolume/pureflash-storage-demo-zookeeper-1',
      'PersistentVolume/pureflash-storage-demo-zookeeper-2',
    ],
  ]);
  assert.ok(shelf.objects.has('PersistentVolumeClaim/data-demo-mariadb-0'));
});

test('a server that cannot start with an old revision makes room, whatever its number', () => {
  const { view, shelf } = standing({ spec: external() });
  const pod = (ordinal: number, revision: string, status: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `demo-zookeeper-${ordinal}`, namespace: 'storage', annotations: { 'pureflash.io/revision': revision } },
    status: { conditions: [{ type: 'Ready', status }] },
  });
  for (const each of [pod(0, 'old', 'True'), pod(1, 'old', 'False')]) shelf.objects.set(keyOf(refOf(each)), each);
  assert.equal(steps(view, shelf).map(describeStep), ['delete v1 Pod storage/demo-zookeeper-1']);
});

test.run();

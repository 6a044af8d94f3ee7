// Which calls the way from claims to volumes comes to: objects that belong to no namespace, and pods that nobody replaces.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { refOf, type JsonObject, type KubeObject } from '../api/objects.ts';
import { planCluster } from '../plan/plan-cluster.ts';
import { carriedOut, controlOf, plainHash, specOf, viewOf } from '../plan/testing/views.ts';
import { NO_CSI, type ClusterView } from '../plan/view.ts';
import { describeStep } from './execute.ts';
import { observeCsi } from './observe-csi.ts';
import { stepsOf, type Step } from './steps.ts';
import { Shelf, frameOf, keyOf } from './testing/shelf.ts';

const OPTIONS = { hasServiceMonitors: false, failedLooks: [], csiRole: 'rights' };

const steps = (view: ClusterView, shelf: Shelf): readonly Step[] =>
  stepsOf(frameOf(view), planCluster(view, plainHash), shelf, OPTIONS);
const told = (view: ClusterView, shelf: Shelf): string[] => steps(view, shelf).map(describeStep);

function standing(spec: JsonObject = {}): { view: ClusterView; shelf: Shelf } {
  const fresh = viewOf({ spec: specOf(spec) });
  const shelf = new Shelf();
  for (const step of steps(fresh, shelf)) shelf.perform(step);
  const view = carriedOut(fresh, planCluster(fresh, plainHash));
  for (const step of steps(view, shelf)) shelf.perform(step);
  assert.equal(told(view, shelf), []);
  return { view, shelf };
}

test("the driver's name is taken before anything else of it is made", () => {
  const fresh = viewOf();
  const shelf = new Shelf();
  const first = told(fresh, shelf).filter((step) => /csi|pfnbd|StorageClass/.test(step));
  assert.equal(first, ['create storage.k8s.io/v1 CSIDriver csi.pureflash.io']);
  const holder = { ...fresh, csi: { ...NO_CSI, holder: 'storage/demo' } };
  for (const step of steps(fresh, shelf)) shelf.perform(step);
  assert.equal(
    told(holder, shelf).filter((step) => !step.includes('PodDisruptionBudget')),
    [
      'apply v1 ServiceAccount storage/demo-csi',
      'apply rbac.authorization.k8s.io/v1 RoleBinding storage/demo-csi',
      'create rbac.authorization.k8s.io/v1 ClusterRoleBinding pureflash:storage:demo:csi',
      'apply apps/v1 DaemonSet storage/demo-pfnbd',
      'apply apps/v1 DaemonSet storage/demo-csi-node',
      'apply apps/v1 Deployment storage/demo-csi-controller',
      'create storage.k8s.io/v1 StorageClass pureflash',
    ],
  );
});

test('whoever dies after any number of steps makes the rest', () => {
  const fresh = { ...viewOf(), csi: { ...NO_CSI, holder: 'storage/demo' } };
  const whole = steps(fresh, new Shelf());
  for (let done = 0; done <= whole.length; done += 1) {
    const shelf = new Shelf();
    for (const step of whole.slice(0, done)) shelf.perform(step);
    assert.equal(told(fresh, shelf), whole.slice(done).map(describeStep), `after ${done} steps`);
  }
});

test('a class whose parameters change is made anew; what may be changed is applied', () => {
  const { view, shelf } = standing();
  const changed = (each: JsonObject) => ({ ...view, spec: specOf({ storageClasses: [{ name: 'pureflash', ...each }] }) });
  assert.equal(told(changed({ replicas: 2 }), shelf), [
    'delete storage.k8s.io/v1 StorageClass pureflash',
    'create storage.k8s.io/v1 StorageClass pureflash',
  ]);
  assert.equal(told(changed({ isDefault: true }), shelf), ['apply storage.k8s.io/v1 StorageClass pureflash']);
  assert.equal(told({ ...view, spec: specOf({ storageClasses: [{ name: 'other' }] }) }, shelf), [
    'create storage.k8s.io/v1 StorageClass other',
    'delete storage.k8s.io/v1 StorageClass pureflash',
  ]);
});

test("a class and a driver of somebody else's are left alone", () => {
  const foreign: KubeObject = {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: 'pureflash', uid: 'u' },
    provisioner: 'other',
  };
  const { view, shelf } = standing({ storageClasses: [{ name: 'mine' }] });
  shelf.objects.set(keyOf(refOf(foreign)), foreign);
  const wanting = { ...view, spec: specOf({ storageClasses: [{ name: 'mine' }, { name: 'pureflash' }] }) };
  assert.equal(told(wanting, shelf), []);
  assert.equal(observeCsi(frameOf(wanting), shelf, []).takenClasses, ['pureflash']);
  const without = { ...view, spec: specOf({ csi: { enabled: false } }), control: controlOf([1, 2, 3]) };
  assert.not.ok(told(without, shelf).includes('delete storage.k8s.io/v1 StorageClass pureflash'));
});

test('who holds the driver is read from its labels', () => {
  const { view, shelf } = standing();
  const holder = (): string | null => observeCsi(frameOf(view), shelf, []).holder;
  assert.is(holder(), 'storage/demo');
  const driver = shelf.objects.get('CSIDriver/csi.pureflash.io')!;
  shelf.objects.set('CSIDriver/csi.pureflash.io', { ...driver, metadata: { name: driver.metadata.name } });
  assert.is(holder(), '');
  shelf.objects.delete('CSIDriver/csi.pureflash.io');
  assert.is(holder(), null);
});

test('switched off, all of it goes, and only when nothing is attached', () => {
  const { view, shelf } = standing();
  const off = { ...view, spec: specOf({ csi: { enabled: false } }) };
  assert.equal(told({ ...off, control: controlOf([1, 2, 3], { attachedCount: 1 }) }, shelf), []);
  assert.equal(
    told({ ...off, control: null }, shelf).filter((step) => /csi|pfnbd|StorageClass/.test(step)),
    [],
  );
  assert.equal(told(off, shelf), [
    'delete apps/v1 Deployment storage/demo-csi-controller',
    'delete apps/v1 DaemonSet storage/demo-pfnbd',
    'delete apps/v1 DaemonSet storage/demo-csi-node',
    'delete rbac.authorization.k8s.io/v1 RoleBinding storage/demo-csi',
    'delete v1 ServiceAccount storage/demo-csi',
    'delete storage.k8s.io/v1 StorageClass pureflash',
    'delete rbac.authorization.k8s.io/v1 ClusterRoleBinding pureflash:storage:demo:csi',
    'delete storage.k8s.io/v1 CSIDriver csi.pureflash.io',
  ]);
});

test('of pods of pfnbd only such go that never ran, and whose revision is past', () => {
  const { view, shelf } = standing();
  const pod = (name: string, revision: string, phase: string): void => {
    const labels = { 'app.kubernetes.io/name': 'pureflash', 'app.kubernetes.io/instance': 'demo' };
    shelf.objects.set(`Pod/${name}`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace: 'storage',
        labels: { ...labels, 'app.kubernetes.io/component': 'pfnbd' },
        annotations: { 'pureflash.io/revision': revision },
      },
      spec: { nodeName: name },
      status: { phase, conditions: [{ type: 'Ready', status: phase === 'Running' ? 'True' : 'False' }] },
    });
  };
  pod('never-ran', 'old', 'Pending');
  pod('serves', 'old', 'Running');
  pod('comes', planCluster(view, plainHash).csi!.revision, 'Pending');
  assert.equal(told(view, shelf), ['delete v1 Pod storage/never-ran']);
  const pods = shelf.list('v1', 'Pod', 'storage', {});
  assert.equal(observeCsi(frameOf(view), shelf, pods).datapath, {
    wantedCount: null,
    pods: [
      { node: 'never-ran', revision: 'old', isReady: false },
      { node: 'serves', revision: 'old', isReady: true },
      { node: 'comes', revision: planCluster(view, plainHash).csi!.revision, isReady: false },
    ],
  });
});

test.run();

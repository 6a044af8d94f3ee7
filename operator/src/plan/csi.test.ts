// What is decided about the way from claims to volumes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject } from '@pureflash/datapath/base';
import type { ClusterPlan } from './cluster-plan.ts';
import { planCluster } from './plan-cluster.ts';
import { carriedOut, controlOf, plainHash, specOf, viewOf } from './testing/views.ts';
import { NO_CSI, type ClusterView, type CsiView } from './view.ts';

const plan = (view: ClusterView): ClusterPlan => planCluster(view, plainHash);
const condition = (made: ClusterPlan, type: string) => made.conditions.find((each) => each.type === type);
const said = (view: ClusterView, type: string): string => {
  const found = condition(plan(view), type);
  return found === undefined ? 'nothing' : `${found.status} ${found.reason}: ${found.message}`;
};

function standing(spec: JsonObject = {}): ClusterView & { readonly csi: CsiView } {
  const fresh = viewOf({ spec: specOf(spec) });
  const view = carriedOut(fresh, plan(fresh));
  return { ...view, csi: view.csi! };
}

test('a new cluster takes the name of the driver first; who has it makes the rest', () => {
  const fresh = viewOf();
  assert.is(plan(fresh).csi!.isHolder, false);
  assert.is(plan({ ...fresh, csi: { ...NO_CSI, holder: 'storage/demo' } }).csi!.isHolder, true);
});

test('images lie beside that of the daemons, unless they are told', () => {
  const images = (spec: JsonObject) => plan(viewOf({ spec: specOf(spec) })).csi!.images;
  assert.equal(images({ image: 'host:5000/a/pureflash:1.2.0' }), {
    driver: 'host:5000/a/pureflash-csi:1.2.0',
    provisioner: 'host:5000/a/csi-provisioner:v6.3.0',
    attacher: 'host:5000/a/csi-attacher:v4.12.0',
    resizer: 'host:5000/a/csi-resizer:v2.2.0',
  });
  assert.is(images({ image: 'pureflash:1.2.0' }).driver, 'pureflash-csi:1.2.0');
  assert.is(images({ image: `x/pureflash@sha256:${'0'.repeat(64)}` }).driver, 'x/pureflash-csi:0.1.0');
  const told = { image: 'mine/driver:7', sidecars: { resizer: 'mine/resizer:8' } };
  assert.is(images({ csi: told }).driver, 'mine/driver:7');
  assert.is(images({ csi: told }).resizer, 'mine/resizer:8');
});

test('of two clusters the second says who is the first, and makes nothing', () => {
  const second = { ...viewOf(), csi: { ...NO_CSI, holder: 'other/first' } };
  assert.is(plan(second).csi, null);
  assert.match(said(second, 'CsiReady'), /^False DriverTaken: the CSI driver belongs to StorageCluster other\/first/);
  assert.is(said(second, 'DatapathReady'), 'nothing');
  const foreign = { ...second, csi: { ...NO_CSI, holder: '' } };
  assert.match(said(foreign, 'CsiReady'), 'is not of this operator');
  const without = { ...second, spec: specOf({ csi: { enabled: false } }) };
  assert.is(said(without, 'CsiReady'), 'nothing');
});

test('conditions follow the pods on the nodes', () => {
  const view = standing();
  assert.is(said(view, 'DatapathReady'), 'True Serving: pfnbd serves on 3 nodes');
  assert.is(said(view, 'CsiReady'), 'True Serving: the driver serves on 3 nodes');
  const set = (isReady: boolean) => ({
    wantedCount: 3,
    pods: view.csi.datapath!.pods.map((pod) => ({ ...pod, isReady: isReady || pod.node !== 'n2' })),
  });
  const missing = { ...view, csi: { ...view.csi, datapath: set(false) } };
  assert.is(said(missing, 'DatapathReady'), 'False NotOnAllNodes: pfnbd serves on 2 of 3 nodes; not on n2');
  assert.is(condition(plan(missing), 'Ready')!.status, 'True', 'the store behind it serves');
  const leaderless = { ...view, csi: { ...view.csi, controller: { ready: 0 } } };
  assert.match(said(leaderless, 'CsiReady'), /^False Starting: no controller is ready/);
  const uncounted = { ...view, csi: { ...view.csi, node: { wantedCount: null, pods: [] } } };
  assert.match(said(uncounted, 'CsiReady'), /^False Starting/);
  const nowhere = { ...view, csi: { ...view.csi, datapath: { wantedCount: 0, pods: [] } } };
  assert.match(said(nowhere, 'DatapathReady'), /^False NoNode/);
  const taken = { ...view, csi: { ...view.csi, takenClasses: ['pureflash'] } };
  assert.match(said(taken, 'CsiReady'), /^False ClassTaken: storage class pureflash is somebody else's/);
});

test('another image reaches pfnbd by hand only: the nodes that wait are named, and nothing else is held up', () => {
  const before = standing();
  const asked = { ...before, spec: specOf({ image: 'localhost/pureflash:1.3.0' }) };
  let view: ClusterView = asked;
  for (let round = 0; round < 4; round += 1) view = carriedOut(view, plan(view));
  assert.equal([...new Set(view.csi!.datapath!.pods.map((pod) => pod.revision))], [before.csi.datapath!.pods[0]!.revision]);
  assert.is(
    said(view, 'UpToDate'),
    'False DatapathWaits: pfnbd of an earlier revision runs on n1, n2, n3: volumes there are served on; delete its pod on each node when it suits you',
  );
  assert.is(plan(view).phase, 'Ready');
  const { revision } = plan(view).csi!;
  const pods = view.csi!.datapath!.pods.map((pod) => (pod.node === 'n2' ? pod : { ...pod, revision }));
  const almost = { ...view, csi: { ...view.csi!, datapath: { wantedCount: 3, pods } } };
  assert.match(said(almost, 'UpToDate'), 'runs on n2:');
});

test('classes, tolerations and the number of controllers restart no pfnbd', () => {
  const { revision } = plan(standing()).csi!;
  const others = { csi: { controllers: 1, tolerations: [] }, storageClasses: [], conductors: { logLevel: 'debug' } };
  assert.is(plan(standing(others)).csi!.revision, revision);
  assert.is.not(plan(standing({ nodeDatapath: { mapper: 'fuse' } })).csi!.revision, revision);
});

test('switched off while volumes are attached, it stays as it is until they are not', () => {
  const on = standing();
  const off = { ...on, spec: specOf({ csi: { enabled: false } }) };
  const attached = { ...off, control: controlOf([1, 2, 3], { attachedCount: 2 }) };
  assert.is(plan(attached).csi!.mayChange, false);
  assert.match(said(attached, 'CsiReady'), /^False VolumesAttached: csi.enabled is false, but 2 volumes are attached/);
  assert.is(plan({ ...off, control: null }).csi!.mayChange, false, 'nobody can say that none is attached');
  assert.is(plan(off).csi, null);
  assert.is(said(off, 'CsiReady'), 'nothing');
});

test('maintenance holds changes back, and not the first start', () => {
  const until = { maintenance: { until: '2026-01-01T00:00:00Z' } };
  const running = { ...standing(until), maintenanceEndMs: 2_000_000 };
  assert.is(plan(running).csi!.mayChange, false);
  assert.is(plan({ ...running, csi: NO_CSI }).csi!.mayChange, true);
});

test('a platform without CSI says nothing of it', () => {
  const local = { ...viewOf(), csi: null };
  assert.is(plan(local).csi, null);
  assert.is(said(local, 'CsiReady'), 'nothing');
});

test('at most one class is the default', () => {
  const both = [
    { name: 'a', isDefault: true },
    { name: 'b', isDefault: true },
  ];
  assert.throws(() => specOf({ storageClasses: both }), /storageClasses: at most one can be the default/);
  assert.equal(
    specOf().storageClasses.map((each) => [each.name, each.replicas, each.fsType, each.isDefault]),
    [['pureflash', 3, 'ext4', false]],
  );
});

test.run();

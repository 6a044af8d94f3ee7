// deadline: 400s
// needs: kube openssl setpriv
// long
// Claims seen as Volumes, on a real API server with Kubernetes' own binder and garbage collector, and with a real conductor and stores: a mirror
// comes with its claim, follows it, goes with it, and whatever people do to it or write beside it reaches no volume. PersistentVolumes are made
// by hand, as the provisioner makes them; the operator's writes are counted.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GiB, type JsonObject } from '@pureflash/datapath/base';
import { API_VERSION } from '@pureflash/operator/api';
import { LocalCluster, ownSubnet } from '../local/local-cluster.ts';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { useControlPlane } from '../kube/suite.ts';
import { installCrds, NAMESPACE, OperatorProcess, specOnFiles, storageCluster } from './operator-rig.ts';
import { WriteGate } from './write-gate.ts';

const PATIENCE_MS = 30_000;
const APP = 'app';
const ADDRESS = ownSubnet();
const folder = mkdtempSync(join(tmpdir(), 'pureflash-mirrors-'));
const plane = useControlPlane(test, { withControllerManager: true });
const store = new LocalCluster({ folder: join(folder, 'store'), subnet: ADDRESS, diskSize: '4G' });
let operator: OperatorProcess;
let gate: WriteGate;

test.before(
  sayWhy(async () => {
    await installCrds(plane());
    await plane().kubectl('create', 'namespace', APP);
    gate = await WriteGate.open(plane(), { judge: () => null, strike: async () => {} });
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, gate.kubeconfig);
    operator = new OperatorProcess(kubeconfig, folder);
    await store.start();
    await makeNode();
    await plane().apply([storageCluster('demo', specOnFiles({ csi: {} }))]);
    operator.start();
    await waitFor('the driver', PATIENCE_MS, () => plane().find('csidriver/csi.pureflash.io'));
  }),
);

test.after(async () => {
  await operator.kill();
  await gate.close();
  await store.killAll();
  rmSync(folder, { recursive: true, force: true });
});

test('a bound claim is seen as a Volume of its name, marked, owned and with what the conductor says', async () => {
  await makeVolume('pvc-data', 2);
  const from = gate.writes.length;
  await bind('data', 'pvc-data');
  const mirror = await waitForMirror('data', ({ status }) => status?.phase === 'Ready');
  assert.equal(mirror.spec, { clusterName: 'demo', size: '1Gi', replicas: 2, deletionPolicy: 'Retain', origin: 'Claim' });
  assert.equal(
    [mirror.status!.volumeName, mirror.status!.claim, mirror.status!.sizeBytes, mirror.status!.attachedTo],
    ['pvc-data', 'app/data', GiB, undefined],
  );
  assert.is(mirror.metadata.finalizers, undefined, 'nothing waits for its end');
  const [owner] = mirror.metadata.ownerReferences!;
  assert.equal([owner!.kind, owner!.name, owner!.uid], ['PersistentVolumeClaim', 'data', await uidOf('pvc/data')]);
  await gate.untilQuiet(PATIENCE_MS);
  assert.equal(volumeWrites(from), ['POST volumes', 'PATCH volumes/data/status'], 'one write for each of the two edges');
  const table = await plane().kubectl('get', 'pfv', '-A', '-l', 'pureflash.io/mirror=true', '-o', 'wide');
  assert.match(table, /app\s+data\s+demo\s+1Gi\s+2\s+Ready\s+Claim\s+app\/data/);
});

test('it follows its volume: attached, degraded, larger; one write for each', async () => {
  const from = gate.writes.length;
  await store.pfcli('open_volume', '-v', 'pvc-data');
  const attached = await waitForMirror('data', ({ status }) => status?.attachedTo !== undefined);
  assert.is(attached.status!.phase, 'Ready');
  assert.equal(volumeWrites(from), ['PATCH volumes/data/status']);
  await store.pfcli('resize_volume', '-v', 'pvc-data', '-s', '2G');
  const capacity = JSON.stringify({ spec: { capacity: { storage: '2Gi' } } });
  await plane().kubectl('patch', 'pv', 'pvc-data', '--type=merge', '-p', capacity);
  await waitForMirror('data', ({ spec, status }) => spec.size === '2Gi' && status?.sizeBytes === 2 * GiB);
  const first = (await store.layout('pvc-data'))[0]!.replicas[0]!.store_id;
  const stores = await store.listStores();
  const row = stores.findIndex(({ id }) => id === first);
  const daemon = store.stores[Number(stores[row]!.data_address.split(':')[0]!.split('.')[3]) - 11]!;
  await daemon.stop();
  await waitForMirror('data', ({ status }) => status?.phase === 'Degraded');
  daemon.start();
  await store.waitForSync('pvc-data');
  await waitForMirror('data', ({ status }) => status?.phase === 'Ready');
});

test('what people do to it is put back, and reaches no volume', async () => {
  const before = await volumesAtConductor();
  await change('data', { spec: { deletionPolicy: 'Delete' } });
  await waitForMirror('data', ({ spec }) => spec.deletionPolicy === 'Retain');
  await change('data', { metadata: { ownerReferences: null, labels: { 'pureflash.io/mirror': null } } });
  await waitForMirror(
    'data',
    ({ metadata }) => metadata.ownerReferences?.length === 1 && 'pureflash.io/mirror' in metadata.labels!,
  );
  await change('data', { spec: { size: '50Gi' } });
  await waitForMirror('data', ({ spec, status }) => spec.size === '2Gi' && status?.phase === 'Ready');
  const { uid } = (await mirrorOf('data'))!.metadata;
  await change('data', { spec: { deletionPolicy: 'Delete' }, metadata: { finalizers: ['pureflash.io/volume'] } });
  await plane().kubectl('delete', 'pfv', 'data', '-n', APP);
  await waitForMirror('data', ({ metadata, status }) => metadata.uid !== uid && status?.phase === 'Ready');
  assert.equal(await volumesAtConductor(), before);
});

test("a user's Volume that has the claim's name is left alone, and the claim says so", async () => {
  await makeVolume('pvc-taken', 3);
  await plane().apply([volume('taken', APP, { clusterName: 'mine', size: '8Gi' })]);
  const before = await waitForMirror('taken', ({ status }) => status?.phase === 'Pending');
  await bind('taken', 'pvc-taken');
  const note = await waitFor('the event', PATIENCE_MS, async () => {
    const { items } = (await plane().find('events.events.k8s.io', '-n', APP)) as { items: { reason: string; note: string }[] };
    return items.find(({ reason }) => reason === 'NotMirrored')?.note ?? null;
  });
  assert.match(note, 'volume pvc-taken of this claim is not mirrored');
  const after = (await mirrorOf('taken'))!;
  assert.equal([after.spec, after.metadata.generation], [before.spec, before.metadata.generation]);
  // When it goes, the name is free.
  await plane().kubectl('delete', 'pfv', 'taken', '-n', APP);
  await waitForMirror('taken', ({ spec, status }) => spec.origin === 'Claim' && status?.volumeName === 'pvc-taken');
});

test('who pretends learns nothing, and has nothing done', async () => {
  const before = await volumesAtConductor();
  const labels = { 'pureflash.io/mirror': 'true', 'pureflash.io/cluster': 'demo', 'pureflash.io/cluster-namespace': NAMESPACE };
  const ofVolume = { clusterName: 'demo', size: '1Gi', replicas: 2, deletionPolicy: 'Delete' };
  // A Volume with the labels of a mirror is a user's Volume, of a cluster that this namespace has not got.
  await plane().apply([volume('pvc-data', APP, ofVolume, labels)]);
  const labelled = await waitForMirror('pvc-data', ({ status }) => status?.phase === 'Pending');
  assert.equal([labelled.status!.conditions![0]!.reason, labelled.status!.sizeBytes], ['NoCluster', undefined]);
  // A mirror of no claim is none, wherever it is, even beside the cluster and with the name of the volume.
  for (const namespace of [APP, NAMESPACE])
    await plane().apply([volume('forged', namespace, { ...ofVolume, origin: 'Claim' }, labels)]);
  await plane().apply([volume('pvc-data', NAMESPACE, { ...ofVolume, size: '2Gi', origin: 'Claim' }, labels)]);
  for (const [name, namespace] of [
    ['forged', APP],
    ['forged', NAMESPACE],
    ['pvc-data', NAMESPACE],
  ] as const)
    await waitFor(`${namespace}/${name} to be gone`, PATIENCE_MS, async () =>
      (await mirrorOf(name, namespace)) === null ? true : null,
    );
  // Nor does a Volume beside the cluster get hold of a claim's volume by its name.
  await plane().apply([volume('pvc-data', NAMESPACE, { ...ofVolume, size: '2Gi' })]);
  const thief = await waitForMirror('pvc-data', ({ status }) => status?.phase === 'Failed', NAMESPACE);
  assert.match(thief.status!.conditions![0]!.message, 'that of claim app/data');
  await plane().kubectl('delete', 'pfv', 'pvc-data', '-n', NAMESPACE);
  await plane().kubectl('delete', 'pfv', 'pvc-data', '-n', APP);
  assert.equal(await volumesAtConductor(), before);
});

test("with its claim the mirror goes, and the volume is the provisioner's business", async () => {
  const before = await volumesAtConductor();
  await plane().kubectl('delete', 'pvc', 'taken', '-n', APP);
  await waitForNoMirror('taken');
  assert.equal(await volumesAtConductor(), before);
});

test('while no conductor answers, mirrors stay as they are', async () => {
  await plane().apply([volume('own', NAMESPACE, { clusterName: 'demo', size: '64Mi', replicas: 1 })]);
  await waitForMirror('own', ({ status }) => status?.phase === 'Ready', NAMESPACE);
  const from = gate.writes.length;
  await store.conductor.stop();
  await waitForMirror('own', ({ status }) => status?.phase === 'Pending', NAMESPACE);
  await change('data', { spec: { deletionPolicy: 'Delete' } });
  await waitForMirror('data', ({ spec }) => spec.deletionPolicy === 'Retain');
  store.conductor.start();
  await waitForMirror('own', ({ status }) => status?.phase === 'Ready', NAMESPACE);
  await gate.untilQuiet(PATIENCE_MS);
  const ofMirror = volumeWrites(from).filter((write) => write.includes('volumes/data'));
  assert.equal(ofMirror, ['PATCH volumes/data', 'PATCH volumes/data/status'], 'the edit was put back, and looked at');
});

test('switched off, mirrors go and nothing else; switched on, they come back', async () => {
  const before = await volumesAtConductor();
  await plane().apply([storageCluster('demo', specOnFiles({ csi: { mirrorClaims: false } }))]);
  await waitForNoMirror('data');
  assert.is((await mirrorOf('own', NAMESPACE))!.status!.phase, 'Ready');
  assert.equal(await volumesAtConductor(), before);
  await plane().apply([storageCluster('demo', specOnFiles({ csi: { mirrorClaims: true } }))]);
  await waitForMirror('data', ({ status }) => status?.phase === 'Ready');
});

test('a namespace with claims ends as a whole', async () => {
  await plane().kubectl('delete', 'namespace', APP, '--timeout=60s');
  assert.is((await volumesAtConductor()).length, 3);
  const log = readFileSync(operator.logPath, 'utf8');
  assert.equal(
    log.split('\n').filter((line) => line.includes('cannot reconcile')),
    [],
  );
});

interface Seen {
  readonly metadata: {
    readonly uid: string;
    readonly generation: number;
    readonly labels?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[];
  };
  readonly spec: JsonObject;
  readonly status?: {
    readonly phase: string;
    readonly volumeName: string;
    readonly claim?: string;
    readonly sizeBytes?: number;
    readonly attachedTo?: string;
    readonly conditions?: readonly { readonly reason: string; readonly message: string }[];
  };
}

async function mirrorOf(name: string, namespace = APP): Promise<Seen | null> {
  return (await plane().find(`pfv/${name}`, '-n', namespace)) as Seen | null;
}

function waitForMirror(name: string, isReached: (seen: Seen) => boolean, namespace = APP): Promise<Seen> {
  return waitFor(`what is awaited of Volume ${namespace}/${name}`, PATIENCE_MS, async () => {
    const seen = await mirrorOf(name, namespace);
    return seen !== null && isReached(seen) ? seen : null;
  });
}

/** For good: it is not made again. */
async function waitForNoMirror(name: string): Promise<void> {
  await waitFor(`mirror ${name} to be gone`, PATIENCE_MS, async () => ((await mirrorOf(name)) === null ? true : null));
  await gate.untilQuiet(PATIENCE_MS);
  assert.is(await mirrorOf(name), null);
}

function change(name: string, patch: JsonObject): Promise<string> {
  return plane().kubectl('patch', 'pfv', name, '-n', APP, '--type=merge', '-p', JSON.stringify(patch));
}

function volume(name: string, namespace: string, spec: JsonObject, labels: JsonObject = {}): JsonObject {
  return { apiVersion: API_VERSION, kind: 'Volume', metadata: { name, namespace, labels }, spec };
}

const uidOf = (what: string): Promise<string> => plane().kubectl('get', what, '-n', APP, '-o', 'jsonpath={.metadata.uid}');

/** As the driver would. */
async function makeVolume(name: string, replicas: number): Promise<void> {
  await store.pfcli('create_volume', '-v', name, '-s', '1G', '--rep', `${replicas}`);
}

/** Name, id and size of each. */
async function volumesAtConductor(): Promise<readonly string[]> {
  const volumes = (await store.pfcli('list_volume')) as readonly { name: string; id: number; size: number }[];
  return volumes.map(({ name, id, size }) => `${name} ${id} ${size}`).sort();
}

/** The claim and its PersistentVolume; Kubernetes binds them. */
async function bind(claim: string, volumeName: string): Promise<void> {
  const shape = { accessModes: ['ReadWriteOnce'], storageClassName: 'pureflash' };
  await plane().apply([
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: volumeName },
      spec: {
        ...shape,
        capacity: { storage: '1Gi' },
        persistentVolumeReclaimPolicy: 'Retain',
        claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: APP, name: claim },
        csi: { driver: 'csi.pureflash.io', volumeHandle: volumeName },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: claim, namespace: APP },
      spec: { ...shape, volumeName, resources: { requests: { storage: '1Gi' } } },
    },
  ]);
}

/** "POST volumes", "PATCH volumes/NAME/status". */
function volumeWrites(from: number): readonly string[] {
  const prefix = `${API_VERSION}/`;
  const names = gate.writes.slice(from).map((name) => name.replace(prefix, ''));
  return names.filter((name) => / volumes(\/|$)/.test(name));
}

/** A node without a kubelet, which has the conductor's address. */
async function makeNode(): Promise<void> {
  const name = 'node-1';
  await plane().apply([{ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } } }]);
  const time = new Date().toISOString();
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'Made',
    message: 'for the test',
    lastHeartbeatTime: time,
    lastTransitionTime: time,
  };
  const status = { addresses: [{ type: 'InternalIP', address: `${ADDRESS}.1` }], conditions: [ready] };
  await plane().kubectl('patch', 'node', name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status }));
}

test.run();

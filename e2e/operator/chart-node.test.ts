// deadline: 600s
// needs: root native kube csi-sidecars mkfs.ext4 losetup /dev/fuse openssl setpriv unshare containerd ctr runc ldd
// long
// The way of a user: helm install brings the operator as pods on real nodes, the quickstart comes to Ready, and a claim works.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { useControlPlane, useNodes } from '../kube/suite.ts';
import { CHART, QUICKSTART, RELEASE, RELEASE_NAMESPACE, VOLUME } from './chart-rig.ts';
import { buildImages, SHELL_IMAGE } from '../csi/csi-images.ts';
import { removeRigDevices } from '../csi/clean-up.ts';
import { buildImage, clusterSeen, NAMESPACE, waitForCondition } from './operator-rig.ts';

const OPERATOR_IMAGE = 'localhost/pureflash-operator:0.1.0';
const HERE = ['-n', RELEASE_NAMESPACE];
const OPERATORS = [...HERE, '-l', 'app.kubernetes.io/name=pureflash-operator'];
// Nodes of the rig have no network for pods, and pods on them share its addresses; nobody else needs hostNetwork.
const VALUES = ['--set', 'registry=localhost', '--set', 'hostNetwork=true', '--set', 'leaderElection.leaseSeconds=5'];
const folder = mkdtempSync(join(tmpdir(), 'pureflash-chart-'));
const plane = useControlPlane(test, { withControllerManager: true, withScheduler: true });
const nodes = useNodes(test, plane, 3);

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: { readonly nodeName: string };
  readonly status: { readonly containerStatuses: readonly { readonly restartCount: number }[] };
}

const operators = async (): Promise<readonly Pod[]> => {
  const text = await plane().kubectl('get', 'pods', ...OPERATORS, '-o', 'json');
  return (JSON.parse(text) as { items: readonly Pod[] }).items;
};

const leader = async (): Promise<string | null> => {
  const lease = (await plane().find('lease/pureflash-operator', ...HERE)) as { spec?: { holderIdentity?: string } } | null;
  return lease?.spec?.holderIdentity ?? null;
};

test.before(
  sayWhy(async () => {
    const operator = join(folder, 'operator.tar');
    await buildImage(operator, OPERATOR_IMAGE, 'pureflash-operator');
    const images = [...(await buildImages(folder)), operator];
    for (const node of nodes()) for (const image of images) await node.loadImage(image);
  }),
);

// Also after Ctrl-C.
process.once('exit', () => removeRigDevices('quickstart'));

test.after(() => {
  removeRigDevices('quickstart');
  rmSync(folder, { recursive: true, force: true });
});

test('helm install brings two operators, on two nodes, as nobody', async () => {
  await plane().helm('install', RELEASE, CHART, ...HERE, '--create-namespace', ...VALUES, '--wait', '--timeout', '90s');
  const pods = await operators();
  assert.is(new Set(pods.map((pod) => pod.spec.nodeName)).size, 2);
  await waitFor('a leader', 30_000, leader);
});

test('the quickstart comes to Ready', async () => {
  const startedAt = performance.now();
  await plane().kubectl('create', 'namespace', NAMESPACE);
  await plane().kubectl('label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=privileged');
  await plane().kubectl('apply', '-n', NAMESPACE, '-f', QUICKSTART);
  await waitForCondition(plane(), 'quickstart', 'Ready', 'True', 120_000);
  console.log(`      Ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  assert.equal((await clusterSeen(plane(), 'quickstart'))!.status!.stores, { wanted: 3, ready: 3, upgraded: 3 });
});

test('a claim of the class that comes with it works', async () => {
  await waitForCondition(plane(), 'quickstart', 'CsiReady', 'True', 120_000);
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'data', namespace: 'default' },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'pureflash', resources: { requests: { storage: '64Mi' } } },
  };
  const main = { name: 'main', image: SHELL_IMAGE, imagePullPolicy: 'Never', command: ['/bin/sh', '-c', 'echo 1 >/data/f'] };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'user', namespace: 'default' },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      containers: [{ ...main, volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
    },
  };
  await plane().apply([claim, pod]);
  await plane().kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/user', '--timeout=90s');
  await plane().kubectl('delete', 'pod/user', 'pvc/data', '--timeout=90s');
});

test('the volume of the examples comes to Ready', async () => {
  await plane().kubectl('apply', '-n', NAMESPACE, '-f', VOLUME);
  await plane().kubectl('wait', '--for=condition=Ready', 'pfv/demo', '-n', NAMESPACE, '--timeout=60s');
});

test('an upgrade of the release leaves daemons alone', async () => {
  const daemons = async (): Promise<string> => plane().kubectl('get', 'pods', '-n', NAMESPACE, '-o', UIDS);
  const before = await daemons();
  const old = new Set((await operators()).map((pod) => pod.metadata.uid));
  await plane().helm('upgrade', RELEASE, CHART, ...HERE, ...VALUES, '--set', 'replicas=1,podAnnotations.changed=yes', '--wait');
  await waitFor('one new operator', 60_000, async () => {
    const pods = await operators();
    return pods.length === 1 && !old.has(pods[0]!.metadata.uid) ? true : null;
  });
  await waitFor('it to lead', 60_000, async () => ((await leader()) ?? '') !== '' || null);
  assert.is(await daemons(), before);
  assert.equal(
    (await operators()).map((pod) => pod.status.containerStatuses[0]!.restartCount),
    [0],
  );
});

test('without the release the cluster goes on as it is', async () => {
  const before = await plane().kubectl('get', 'pods', '-n', NAMESPACE, '-o', UIDS);
  await plane().helm('uninstall', RELEASE, ...HERE, '--wait');
  await waitFor('its pods to end', 30_000, async () => ((await operators()).length === 0 ? true : null));
  assert.is(await plane().kubectl('get', 'pods', '-n', NAMESPACE, '-o', UIDS), before);
  assert.is((await clusterSeen(plane(), 'quickstart'))!.metadata.deletionTimestamp, undefined);
});

const UIDS = 'jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[0].restartCount}{"\\n"}{end}';

test.run();

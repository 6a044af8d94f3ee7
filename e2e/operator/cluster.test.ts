// deadline: 600s
// needs: kube openssl setpriv root unshare containerd ctr runc ldd fio nbdinfo
// long
// A StorageCluster on three real nodes: kubelets run our image, conditions follow the pods, a volume takes load, and nothing is deleted
// that holds data.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { MiB, type JsonObject } from '@pureflash/datapath/base';
import { API_VERSION } from '@pureflash/operator/api';
import { setTimeout as sleep } from 'node:timers/promises';
import { runFio } from '../local/fio.ts';
import { outputOf } from '../interop/tool.ts';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { useControlPlane, useNodes } from '../kube/suite.ts';
import {
  buildImage,
  clusterSeen,
  installCrds,
  NAMESPACE,
  OperatorProcess,
  specOnFiles,
  storageCluster,
  waitForCondition,
} from './operator-rig.ts';

const folder = mkdtempSync(join(tmpdir(), 'pureflash-operator-'));
const OUTAGE_S = process.env['PF_FULL'] === '1' ? 60 : 15;
/** No store is away meanwhile: any stall is one of this machine. */
const STALL_MS_MAX = 1000;
const BIN = resolve(import.meta.dirname, '../../datapath/bin');
const plane = useControlPlane(test, { withControllerManager: true, withScheduler: true });
const nodes = useNodes(test, plane, 3);
let operator: OperatorProcess;
let front: ChildProcess | null = null;

test.before(
  sayWhy(async () => {
    const image = join(folder, 'pureflash.tar');
    await buildImage(image);
    for (const node of nodes()) await node.loadImage(image);
    await installCrds(plane());
    operator = new OperatorProcess(plane().kubeconfigPath, folder);
    operator.start();
  }),
);

test.after(async () => {
  front?.kill('SIGKILL');
  await operator.kill();
  rmSync(folder, { recursive: true, force: true });
});

test('a StorageCluster that is applied becomes Ready', async () => {
  const startedAt = performance.now();
  await plane().apply([storageCluster('demo', specOnFiles())]);
  await waitForCondition(plane(), 'demo', 'Ready', 'True', 90_000);
  console.log(`      Ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  const stores = JSON.parse(await plane().kubectl('get', 'pfstore', '-n', NAMESPACE, '-o', 'json')) as {
    items: { status: { storeId: number; conditions: { type: string; status: string }[]; disks: { freePercent: number }[] } }[];
  };
  assert.is(stores.items.length, 3);
  for (const { status } of stores.items) {
    assert.ok(
      status.conditions.every((each) => each.status === 'True'),
      JSON.stringify(status),
    );
    assert.ok(status.disks[0]!.freePercent >= 90);
  }
});

test('a Volume that is applied takes checked load through NBD', async () => {
  await plane().apply([volume('v1', { clusterName: 'demo', size: '256Mi', replicas: 3, deletionPolicy: 'Delete' })]);
  await waitForVolume('v1', (seen) => seen.phase === 'Ready' && seen.sizeBytes === 256 * MiB);
  const conductor = (await clusterSeen(plane(), 'demo'))!.status!.endpoints![0]!;
  const socket = join(folder, 'v1.sock');
  const secret = await plane().kubectl('get', 'secret', 'demo-api-token', '-n', NAMESPACE, '-o', 'jsonpath={.data.token}');
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, atob(secret), { mode: 0o600 });
  front = spawn(join(BIN, 'nbd-serve'), ['volume:v1', '--unix', socket, '--conductor', conductor, '--token-file', tokenFile], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const uri = `nbd+unix:///?socket=${socket}`;
  await waitFor('the export', 20_000, () => outputOf('nbdinfo', '--size', uri));
  const load = await runFio({ uri, pattern: 'randwrite', blockSize: '4k', size: '64m', seconds: 5, isVerified: true });
  assert.is(load.exitCode, 0, load.output);
  assert.is(load.errors, 0);
  await waitForVolume('v1', (seen) => seen.attachedTo !== undefined);
});

test('an outage of the API server is not felt by the data path', async () => {
  const uri = `nbd+unix:///?socket=${join(folder, 'v1.sock')}`;
  const { pid } = operator;
  const load = runFio({ uri, pattern: 'randwrite', blockSize: '4k', size: '64m', seconds: OUTAGE_S + 5, isVerified: true });
  await plane().stopApiServer();
  await sleep(OUTAGE_S * 1000);
  await plane().startApiServer();
  const result = await load;
  assert.is(result.exitCode, 0, result.output);
  assert.is(result.errors, 0);
  console.log(
    `      ${OUTAGE_S} s without an API server: ${Math.round(result.iops)} IOPS, longest stall ${result.longestMs.toFixed(0)} ms`,
  );
  assert.ok(result.longestMs < STALL_MS_MAX, `${result.longestMs} ms`);
  await waitForVolume('v1', (seen) => seen.phase === 'Ready');
  assert.is(operator.pid, pid, 'the operator was not restarted');
});

test('it grows by an edit, and is not deleted while it is attached', async () => {
  await plane().kubectl('patch', 'pfv', 'v1', '-n', NAMESPACE, '--type=merge', '-p', '{"spec":{"size":"512Mi"}}');
  await waitForVolume('v1', (seen) => seen.sizeBytes === 512 * MiB && seen.phase === 'Ready');
  await plane().apply([volume('v2', { clusterName: 'demo', size: '64Mi', replicas: 2, deletionPolicy: 'Delete' })]);
  await waitForVolume('v2', (seen) => seen.phase === 'Ready');
  await plane().kubectl('delete', 'pfv', 'v1', 'v2', '-n', NAMESPACE, '--wait=false');
  const refused = await waitForVolume('v1', (seen) => seen.conditions?.[0]?.reason === 'Attached');
  assert.match(refused.conditions![0]!.message, 'detach it there first');
  await waitFor('v2 to be gone', 30_000, async () => {
    const text = await plane().kubectl('get', 'pfv', 'v2', '-n', NAMESPACE, '--ignore-not-found');
    return text.trim() === '' ? true : null;
  });
});

test('a cluster with a volume is not deleted without the phrase', async () => {
  await plane().kubectl('delete', 'pfcl', 'demo', '-n', NAMESPACE, '--wait=false');
  const condition = await waitForCondition(plane(), 'demo', 'Deletable', 'False', 20_000);
  assert.is(condition.reason, 'VolumesExist');
  assert.match(condition.message, 'yes-destroy-all-volumes');
  assert.is((await plane().kubectl('get', 'pods', '-n', NAMESPACE, '--no-headers')).trim().split('\n').length, 4);
});

test('with the phrase every daemon goes, and the disks keep their content', async () => {
  front!.kill('SIGTERM');
  front = null;
  const patch = JSON.stringify({ spec: { deletion: { confirmation: 'yes-destroy-all-volumes' } } });
  await plane().kubectl('patch', 'pfcl', 'demo', '-n', NAMESPACE, '--type=merge', '-p', patch);
  await waitFor('the cluster to be gone', 90_000, async () => ((await clusterSeen(plane(), 'demo')) === null ? true : null));
  await waitFor('its pods to be gone', 60_000, async () => {
    const pods = await plane().kubectl('get', 'pods', '-n', NAMESPACE, '--no-headers', '--ignore-not-found');
    return pods.trim() === '' ? true : null;
  });
  await waitFor('the volume of its conductor to be gone', 30_000, async () => {
    const volumes = await plane().kubectl('get', 'pv', '--no-headers', '--ignore-not-found');
    return volumes.trim() === '' ? true : null;
  });
});

interface VolumeSeen {
  readonly phase?: string;
  readonly sizeBytes?: number;
  readonly attachedTo?: string;
  readonly conditions?: readonly { readonly reason: string; readonly message: string }[];
}

function volume(name: string, spec: JsonObject): JsonObject {
  return { apiVersion: API_VERSION, kind: 'Volume', metadata: { name, namespace: NAMESPACE }, spec };
}

function waitForVolume(name: string, isReached: (seen: VolumeSeen) => boolean): Promise<VolumeSeen> {
  return waitFor(`what is awaited of volume ${name}`, 30_000, async () => {
    const { status } = JSON.parse(await plane().kubectl('get', 'pfv', name, '-n', NAMESPACE, '-o', 'json')) as {
      status?: VolumeSeen;
    };
    return status !== undefined && isReached(status) ? status : null;
  });
}

test.run();

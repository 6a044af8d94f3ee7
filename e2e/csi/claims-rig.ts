// What the suites of claims on nodes share: real nodes with the images that a cluster with CSI wants, an operator that may give CSI its rights,
// a claim, and the look whether anything of it is left.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject } from '@pureflash/datapath/base';
import type { ClusterNode } from '../kube/cluster-node.ts';
import type { ControlPlane } from '../kube/control-plane.ts';
import { useControlPlane, useNodes } from '../kube/suite.ts';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { CHART, RELEASE, RELEASE_NAMESPACE } from '../operator/chart-rig.ts';
import {
  clusterSeen,
  installCrds,
  NAMESPACE,
  OperatorProcess,
  specOnFiles,
  storageCluster,
  waitForCondition,
} from '../operator/operator-rig.ts';
import { buildImages } from './csi-images.ts';
import { removeRigDevices, rigLoops } from './clean-up.ts';

const CSI_RIGHTS = ['--show-only', 'templates/csi-rights.yaml'];
const NODE_COUNT = 3;
export const PATIENCE_MS = 90_000;

export interface ClaimsRig {
  readonly plane: () => ControlPlane;
  readonly nodes: () => readonly ClusterNode[];
}

/** Three nodes and an operator for the suite's tests, and nothing of them after it. `cluster`: the StorageCluster that the tests will make. */
export function useClaims(suite: Test, cluster: string): ClaimsRig {
  const folder = mkdtempSync(join(tmpdir(), 'pureflash-claims-'));
  const plane = useControlPlane(suite, { withControllerManager: true, withScheduler: true });
  const nodes = useNodes(suite, plane, NODE_COUNT);
  let operator: OperatorProcess | null = null;
  // Also after Ctrl-C.
  process.once('exit', () => removeRigDevices(cluster));
  suite.before(
    sayWhy(async () => {
      for (const image of await buildImages(folder)) for (const node of nodes()) await node.loadImage(image);
      await installCrds(plane());
      const rights = ['template', RELEASE, CHART, '-n', RELEASE_NAMESPACE, '--kube-version', '1.36.0', ...CSI_RIGHTS];
      await plane().apply(await plane().helm(...rights));
      operator = new OperatorProcess(plane().kubeconfigPath, folder);
      operator.start(['--csi-role', `${RELEASE_NAMESPACE}:${RELEASE}-operator-csi`]);
    }),
  );
  suite.after(async () => {
    await operator?.kill();
    removeRigDevices(cluster);
    rmSync(folder, { recursive: true, force: true });
  });
  return { plane, nodes };
}

/** Makes the StorageCluster, or changes it; resolves when claims are served. */
export async function serveClaims(plane: ControlPlane, cluster: string, spec: JsonObject): Promise<void> {
  const startedAt = performance.now();
  await plane.apply([storageCluster(cluster, specOnFiles(spec))]);
  for (const type of ['Ready', 'DatapathReady', 'CsiReady']) await waitForCondition(plane, cluster, type, 'True', PATIENCE_MS);
  console.log(`      claims are served after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}

export interface ClaimOptions {
  readonly size: string;
  readonly storageClassName?: string;
  readonly volumeMode?: string;
  readonly accessMode?: string;
}

export function claim(name: string, options: ClaimOptions): JsonObject {
  const { size, storageClassName = 'pureflash', volumeMode = 'Filesystem', accessMode = 'ReadWriteOnce' } = options;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'default' },
    spec: { accessModes: [accessMode], storageClassName, volumeMode, resources: { requests: { storage: size } } },
  };
}

export async function remove(plane: ControlPlane, kind: string, ...names: string[]): Promise<void> {
  await plane.kubectl('delete', kind, ...names, '--timeout=120s');
}

/** All claims have been deleted: no volume, no attachment, no device stays. */
export async function waitForNoVolumes(plane: ControlPlane, cluster: string): Promise<void> {
  await waitFor('the volumes to go', PATIENCE_MS, async () => {
    const names = (await plane.kubectl('get', 'pv', '-o', 'name')).split('\n');
    return names.every((name) => !name.includes('/pvc-')) || null;
  });
  await waitFor('the attachments to go', PATIENCE_MS, async () =>
    (await plane.kubectl('get', 'volumeattachment', '-o', 'name')).trim() === '' ? true : null,
  );
  await waitFor('the devices to go', PATIENCE_MS, () => Promise.resolve(rigLoops(cluster).length === 0 || null));
}

/** Deletes the StorageCluster: what belongs to no namespace goes with it, too. */
export async function removeCluster(plane: ControlPlane, cluster: string): Promise<void> {
  await plane.kubectl('delete', 'pfcl', cluster, '-n', NAMESPACE, '--wait=false');
  await waitFor('the cluster to be gone', PATIENCE_MS, async () => ((await clusterSeen(plane, cluster)) === null ? true : null));
  for (const what of ['csidriver', 'storageclass', 'daemonset', 'deployment'])
    assert.is((await plane.kubectl('get', what, '-A', '-o', 'name')).trim(), '', what);
  const bindings = await plane.kubectl('get', 'clusterrolebinding', '-l', `pureflash.io/cluster=${cluster}`, '-o', 'name');
  assert.is(bindings.trim(), '');
}

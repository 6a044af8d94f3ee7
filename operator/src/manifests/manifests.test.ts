// The objects of two clusters, as golden files: what is reviewed is the difference between pods. PF_UPDATE=1 writes them anew.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { desiredObjects } from '../cluster/steps.ts';
import { isContained } from '../cluster/contained.ts';
import type { ClusterPlan } from '../plan/cluster-plan.ts';
import { planCluster } from '../plan/plan-cluster.ts';
import { carriedOut, nodeOf, plainHash, specOf, viewOf } from '../plan/testing/views.ts';
import type { ClusterView } from '../plan/view.ts';
import { shortName, type ClusterFrame } from './builders.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');

function objectsOf(view: ClusterView, plan: ClusterPlan): string {
  const frame: ClusterFrame = { name: view.name, namespace: view.namespace, uid: 'u-1', spec: view.spec, hash: plainHash };
  const objects = desiredObjects(frame, plan, { hasServiceMonitors: true, failedLooks: [] });
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

test('a cluster on devices, whose nodes are looked at first', () => {
  const stores = {
    devices: { filter: { minSize: '1Ti' } },
    resources: { requests: { memory: '1Gi' } },
    tolerations: [{ key: 'storage', operator: 'Exists' }],
  };
  const view = viewOf({ spec: specOf({ stores, imagePullSecrets: [{ name: 'pull' }] } as never), nodes: [nodeOf(1), nodeOf(2)] });
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

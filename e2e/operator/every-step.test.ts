// deadline: 1200s
// needs: kube openssl setpriv root unshare containerd ctr runc ldd
// long
// The operator dies at every write of a bring-up and of an upgrade, once before the write arrives and once after: what stands at the end is
// what stands without any death. The writes are found while they are made: each one that has a new name costs two lives.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canonicalJson, type JsonObject } from '@pureflash/datapath/base';
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
import { WriteGate } from './write-gate.ts';

const PATIENCE_MS = 400_000;
/** A leader that is killed keeps its successor waiting for so long. */
const FLAGS = ['--lease-seconds', '4'];
const NEXT_IMAGE = 'localhost/pureflash:0.1.1';
const folder = mkdtempSync(join(tmpdir(), 'pureflash-steps-'));
const plane = useControlPlane(test, { withControllerManager: true, withScheduler: true });
const nodes = useNodes(test, plane, 3);
let operator: OperatorProcess;
let gate: WriteGate;
/** Write -> deaths that it has cost. */
const deaths = new Map<string, number>();
let isDeadly = false;

test.before(
  sayWhy(async () => {
    for (const image of ['localhost/pureflash:0.1.0', NEXT_IMAGE]) {
      const file = join(folder, 'image.tar');
      await buildImage(file, image);
      for (const node of nodes()) await node.loadImage(file);
    }
    await installCrds(plane());
    gate = await WriteGate.open(plane(), { judge, strike });
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, gate.kubeconfig);
    operator = new OperatorProcess(kubeconfig, folder);
    operator.start(FLAGS);
  }),
);

test.after(async () => {
  isDeadly = false;
  await operator.kill();
  await gate.close();
  rmSync(folder, { recursive: true, force: true });
});

function judge({ name }: { readonly name: string }): 'before' | 'after' | null {
  const count = deaths.get(name) ?? 0;
  if (!isDeadly || count >= 2) return null;
  deaths.set(name, count + 1);
  return count === 0 ? 'before' : 'after';
}

async function strike(): Promise<void> {
  await operator.kill();
  operator.start(FLAGS);
}

async function settle(image: string): Promise<JsonObject> {
  await waitForCondition(plane(), 'demo', 'Ready', 'True', PATIENCE_MS);
  await waitForCondition(plane(), 'demo', 'UpToDate', 'True', PATIENCE_MS);
  await waitFor(`every pod to run ${image}`, PATIENCE_MS, async () => {
    const images = await plane().kubectl('get', 'pods', '-n', NAMESPACE, '-o', 'jsonpath={.items[*].spec.containers[0].image}');
    return images.split(' ').length === 4 && images.split(' ').every((each) => each === image) ? true : null;
  });
  await gate.untilQuiet(PATIENCE_MS);
  return whatStands();
}

/** Everything of ours, without what is new with every object. */
async function whatStands(): Promise<JsonObject> {
  const kinds = 'pfcl,pfstore,sts,svc,cm,pdb,pvc,pv';
  const text = await plane().kubectl('get', kinds, '-n', NAMESPACE, '-l', 'app.kubernetes.io/name=pureflash', '-o', 'json');
  const { items } = JSON.parse(text) as {
    items: { kind: string; metadata: { name: string; labels: JsonObject }; spec: JsonObject; data?: JsonObject }[];
  };
  const entries = items.map(({ kind, metadata, spec, data }) => {
    const { clusterIP: _ip, clusterIPs: _ips, claimRef: _claim, ...lasting } = spec ?? {};
    return [
      `${kind} ${metadata.name}`,
      { labels: metadata.labels, spec: lasting, ...(data === undefined ? {} : { data }) },
    ] as const;
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))) as JsonObject;
}

/** Names of the objects that are not the same on both sides. */
function differences(a: JsonObject, b: JsonObject): string[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].filter((name) => canonicalJson(a[name] ?? null) !== canonicalJson(b[name] ?? null));
}

async function setImage(image: string): Promise<void> {
  await plane().kubectl('patch', 'pfcl', 'demo', '-n', NAMESPACE, '--type=merge', '-p', JSON.stringify({ spec: { image } }));
}

let undisturbed: JsonObject;
let upgraded: JsonObject;

test('without any death: a bring-up, an upgrade, and everything away again', async () => {
  await plane().apply([storageCluster('demo', specOnFiles())]);
  undisturbed = await settle('localhost/pureflash:0.1.0');
  await setImage(NEXT_IMAGE);
  upgraded = await settle(NEXT_IMAGE);
  await plane().kubectl('delete', 'pfcl', 'demo', '-n', NAMESPACE, '--wait=false');
  await waitFor('the cluster to be gone', PATIENCE_MS, async () => ((await clusterSeen(plane(), 'demo')) === null ? true : null));
  await waitFor('its objects to be gone', PATIENCE_MS, async () => (Object.keys(await whatStands()).length === 0 ? true : null));
});

test('with a death at every write of the bring-up the same stands', async () => {
  isDeadly = true;
  await plane().apply([storageCluster('demo', specOnFiles())]);
  assert.equal(differences(await settle('localhost/pureflash:0.1.0'), undisturbed), []);
  assert.ok(deaths.size >= 15, `only ${deaths.size} different writes were seen`);
  console.log(`      ${[...deaths.values()].reduce((a, b) => a + b, 0)} deaths at ${deaths.size} writes`);
});

test('with a death at every write of the upgrade too', async () => {
  deaths.clear();
  await setImage(NEXT_IMAGE);
  assert.equal(differences(await settle(NEXT_IMAGE), upgraded), []);
  assert.ok(deaths.size >= 5, `only ${deaths.size} different writes were seen`);
  console.log(`      ${[...deaths.values()].reduce((a, b) => a + b, 0)} deaths at ${deaths.size} writes`);
});

test.run();

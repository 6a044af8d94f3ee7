// deadline: 600s
// needs: root native kube csi-sidecars openssl setpriv unshare containerd ctr runc ldd mkfs.ext4 mkfs.xfs xfs_growfs losetup /dev/fuse
// long
// A node falls silent in the middle of a pod's write. Its administrator knows that it is out and says so with Kubernetes' out-of-service taint:
// controllers and sidecars move pod and volume to another node. Then the old node goes on where it was, and not one of its writes is accepted.
// While the node stands still nothing here may ask the machine as a whole (`sync`, `df`): it would wait for the node.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AttachClient } from '@pureflash/datapath/attach';
import type { JsonObject } from '@pureflash/datapath/base';
import { openNodeWorld } from '@pureflash/datapath/world';
import type { ClusterNode } from '../kube/cluster-node.ts';
import { waitFor } from '../local/wait-for.ts';
import { clusterSeen } from '../operator/operator-rig.ts';
import { claim, PATIENCE_MS, remove, removeCluster, serveClaims, useClaims, waitForNoVolumes } from './claims-rig.ts';
import { rigLoops } from './clean-up.ts';
import { SHELL_IMAGE } from './csi-images.ts';

const CLUSTER = 'loss';
const TAINT = 'node.kubernetes.io/out-of-service';
const STORE_PORT = 49_181;
const FENCED = '0xd1';
/** On the node's own disk: what its writers tried, and what they were told. */
const JOURNALS = '/var/lib/writers';
const TAKEOVER_SECONDS_MAX = 60;
const FEW_RECORDS = 50;
/** More than a block of the file system holds: where the first writer stopped, the second one writes no more. */
const BLOCK_OF_RECORDS = 100;

/** One after the other, each record safe before the next; it takes no for no answer, and SIGTERM neither. */
const WRITER = `
  count=0
  while :; do
    count=$((count + 1))
    read now _ </proc/uptime
    echo "begun $count $now" >>/journals/$UID_OF_POD
    word=failed
    why=$(echo "$UID_OF_POD $count $now" | dd of=/data/records oflag=append conv=notrunc,fsync status=none 2>&1) && word=safe
    read now _ </proc/uptime
    echo "$word $count $now $why" >>/journals/$UID_OF_POD
    sleep 0.02
  done`;

const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 ** 2 });
let lost: ClusterNode;
/** Where the second writer is. */
let current: ClusterNode;
let first: string;
let second: string;
/** The file as the second writer found it, up to its own first record. */
let inherited: readonly string[];
let thawedAt: number;

// Before the hooks of the rig.
test.after(() => nodes().forEach((node) => node.thaw()));
const { plane, nodes } = useClaims(test, CLUSTER);
test.after(() => world.close());

test('a pod writes records into its claim', async () => {
  const conductors = { nodeSelector: { 'kubernetes.io/hostname': nodes()[0]!.name } };
  await serveClaims(plane(), CLUSTER, { conductors, csi: {}, storageClasses: [{ name: 'pureflash' }] });
  await plane().apply([writer(nodes()[0]!.name)]);
  const seen = await waitForWriter('the first writer', PATIENCE_MS, nodes());
  [first, lost] = [seen.pod, seen.node];
  await waitFor('a few records', PATIENCE_MS, () => Promise.resolve(safeOf(lost, first).length >= FEW_RECORDS || null));
});

test('its node falls silent in the middle of a write; after the taint the pod runs elsewhere and has every record', async () => {
  // A request is on its way to the node's datapath, and goes on to the stores when the node does.
  process.kill(datapathOf(lost), 'SIGSTOP');
  await waitFor('a write to wait', PATIENCE_MS, () =>
    Promise.resolve(lost.processes().some(({ state }) => state === 'D') || null),
  );
  await lost.freeze();
  const silentAt = uptime();
  const safe = safeOf(lost, first);
  await waitFor(`node ${lost.name} to be found silent`, 2 * PATIENCE_MS, async () => ((await isReady(lost)) ? null : true), 500);
  const foundAt = uptime();
  const place = await plane().kubectl('get', 'pod', 'writer-0', '-o', 'jsonpath={.spec.nodeName}');
  assert.is(place, lost.name, 'nothing moves before somebody says that the node is out');
  await plane().kubectl('taint', 'node', lost.name, `${TAINT}=nodeshutdown:NoExecute`);
  const taintedAt = uptime();
  const others = nodes().filter((node) => node !== lost);
  const seen = await waitForWriter('the second writer', 2 * PATIENCE_MS, others);
  [second, current] = [seen.pod, seen.node];
  const [fromSilence, found, fromTaint] = [seen.safeAt - silentAt, foundAt - silentAt, seen.safeAt - taintedAt];
  console.log(`      the node was found silent after ${found.toFixed(1)} s; a record is safe on another one:`);
  console.log(`      ${fromTaint.toFixed(1)} s after the taint, ${fromSilence.toFixed(1)} s after silence`);
  const records = await recordsSeen();
  inherited = records.slice(0, records.indexOf(`${second} 1`));
  assert.equal(inherited, countedTo(first, inherited.length), 'records of the first writer, in order and whole');
  assert.ok(inherited.length >= safe.at(-1)!, `${inherited.length} records are there, ${safe.at(-1)} were safe`);
  assert.ok(inherited.length <= safe.at(-1)! + 1);
  assert.ok(fromTaint < TAKEOVER_SECONDS_MAX, `${fromTaint} s`);
});

test('the old writer goes on, and none of its writes is accepted', async () => {
  await waitFor('the second writer to be far', PATIENCE_MS, () =>
    Promise.resolve((safeOf(current, second).at(-1) ?? 0) >= BLOCK_OF_RECORDS || null),
  );
  const refusedBefore = await refusedByStores();
  lost.thaw();
  thawedAt = uptime();
  const attacher = new AttachClient(world, join(lost.folder, `run/pureflash/${CLUSTER}/socket/pfnbd.sock`));
  const held = await waitFor('the datapath to know', PATIENCE_MS, async () => {
    const volumes = await attacher.list();
    return volumes.every(({ state }) => state === 'OVER') ? volumes : null;
  });
  assert.is(held.length, 1);
  await waitFor('the old writer to be refused', PATIENCE_MS, () =>
    Promise.resolve(linesOf(lost, first, 'failed').length > 0 || null),
  );
  await waitFor('the old pod to end', PATIENCE_MS, () => Promise.resolve(!isKept(lost, first) || null));
  const failed = linesOf(lost, first, 'failed');
  const refused = (await refusedByStores()) - refusedBefore;
  console.log(
    `      the old writer was refused ${failed.length} times, its node's requests ${refused} times by stores; 0 accepted`,
  );
  for (const line of failed) assert.match(line, /Input\/output error|Read-only file system/);
  assert.ok(safeOf(lost, first).at(-1)! <= inherited.length, 'it was never told that a later record is safe');
  await assertInherited();
});

test('the node comes back, and keeps nothing of what it lost', async () => {
  await plane().kubectl('taint', 'node', lost.name, `${TAINT}-`);
  const attacher = new AttachClient(world, join(lost.folder, `run/pureflash/${CLUSTER}/socket/pfnbd.sock`));
  await waitFor('the volume to leave the node', PATIENCE_MS, async () => ((await attacher.list()).length === 0 ? true : null));
  await waitFor('its mounts to go', PATIENCE_MS, () => Promise.resolve(mountsOn(lost).length === 0 || null));
  await waitFor('its device to go', PATIENCE_MS, () => Promise.resolve(rigLoops(CLUSTER).length === 1 || null));
  assert.is(programsOn(lost, 'pureflash-holder').length, 0);
  await waitFor('its store to serve again', PATIENCE_MS, async () => {
    const stores = (await clusterSeen(plane(), CLUSTER))?.status?.stores;
    return stores?.ready === nodes().length ? true : null;
  });
  console.log(`      the node is whole again ${(uptime() - thawedAt).toFixed(1)} s after it went on`);
});

test('the volume moves back to it, and says what the second writer left, from the stores', async () => {
  await plane().kubectl('cordon', current.name);
  await remove(plane(), 'pod', 'writer-0');
  const seen = await waitForWriter('the third writer', PATIENCE_MS, [lost]);
  await assertInherited();
  const records = await recordsSeen();
  const begun = records.indexOf(`${seen.pod} 1`);
  const ofSecond = records.slice(inherited.length, begun);
  assert.equal(ofSecond, countedTo(second, ofSecond.length));
  assert.ok(ofSecond.length >= safeOf(current, second).at(-1)!);
});

test('when the claim is gone, nothing is left of its volume', async () => {
  await remove(plane(), 'statefulset', 'writer');
  await remove(plane(), 'pod', '--all');
  await remove(plane(), 'pvc', '--all');
  await waitForNoVolumes(plane(), CLUSTER);
  for (const node of nodes()) assert.is(programsOn(node, 'pureflash-holder').length, 0);
});

test('and with the cluster goes all that it brought', () => removeCluster(plane(), CLUSTER));

/** Never on the conductor's node: that one stays. */
function writer(conductorNode: string): JsonObject {
  const labels = { app: 'writer' };
  const avoided = [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: [conductorNode] }];
  const main = {
    name: 'main',
    image: SHELL_IMAGE,
    imagePullPolicy: 'Never',
    command: ['/bin/sh', '-c', WRITER],
    env: [{ name: 'UID_OF_POD', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } }],
    volumeMounts: [
      { name: 'data', mountPath: '/data' },
      { name: 'journals', mountPath: '/journals' },
    ],
  };
  const pod = {
    terminationGracePeriodSeconds: 5,
    automountServiceAccountToken: false,
    affinity: {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: avoided }] } },
    },
    containers: [main],
    volumes: [{ name: 'journals', hostPath: { path: JOURNALS, type: 'DirectoryOrCreate' } }],
  };
  const { spec } = claim('data', { size: '256Mi' });
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'writer', namespace: 'default' },
    spec: {
      replicas: 1,
      serviceName: 'writer',
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: pod },
      volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: spec! }],
    } as never,
  };
}

/** One of the nodes has a writer whose first record is safe. */
async function waitForWriter(what: string, patienceMs: number, where: readonly ClusterNode[]) {
  return waitFor(`${what} to write`, patienceMs, () => {
    for (const node of where)
      for (const pod of writersOn(node)) {
        if (pod === first || pod === second) continue;
        const [line] = linesOf(node, pod, 'safe');
        if (line !== undefined) return Promise.resolve({ node, pod, safeAt: Number(line.split(' ')[2]) });
      }
    return Promise.resolve(null);
  });
}

const journalsOf = (node: ClusterNode): string => join(node.folder, JOURNALS);
const writersOn = (node: ClusterNode): readonly string[] => (existsSync(journalsOf(node)) ? readdirSync(journalsOf(node)) : []);

function linesOf(node: ClusterNode, pod: string, word: 'safe' | 'failed'): readonly string[] {
  if (!writersOn(node).includes(pod)) return [];
  const lines = readFileSync(join(journalsOf(node), pod), 'utf8').split('\n');
  return lines.filter((line) => line.startsWith(`${word} `));
}

/** Numbers of the records that the writer knows to be safe. */
const safeOf = (node: ClusterNode, pod: string): readonly number[] =>
  linesOf(node, pod, 'safe').map((line) => Number(line.split(' ')[1]));

/** "POD NUMBER" of each record, as the pod that runs now reads them. */
async function recordsSeen(): Promise<readonly string[]> {
  const text = await plane().kubectl('exec', 'writer-0', '--', '/usr/bin/cat', '/data/records');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').slice(0, 2).join(' '));
}

const countedTo = (pod: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${pod} ${index + 1}`);

/** The first writer's records are those that the second one found. */
async function assertInherited(): Promise<void> {
  const records = await recordsSeen();
  assert.equal(records.slice(0, inherited.length), inherited);
  assert.equal(
    records.slice(inherited.length).filter((record) => record.startsWith(first)),
    [],
  );
}

async function isReady(node: ClusterNode): Promise<boolean> {
  const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
  return (await plane().kubectl('get', 'node', node.name, '-o', path)).trim() === 'True';
}

/** How often the stores of the nodes that were never lost told a writer that its time is over. */
async function refusedByStores(): Promise<number> {
  let count = 0;
  for (const node of nodes().filter((each) => each !== lost)) {
    const text = await (await fetch(`http://${node.name}:${STORE_PORT}/metrics`, { signal: AbortSignal.timeout(5_000) })).text();
    count += Number(new RegExp(`^pfstore_refused_total\\{status="${FENCED}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  }
  return count;
}

const isKept = (node: ClusterNode, pod: string): boolean => existsSync(join(node.folder, 'var/lib/kubelet/pods', pod));

/** Of volumes, as the node sees them. */
function mountsOn(node: ClusterNode): readonly string[] {
  const init = node.processes()[0]!;
  const lines = readFileSync(`/proc/${init.pid}/mounts`, 'utf8').split('\n');
  return lines.filter((line) => line.includes('pvc-'));
}

const datapathOf = (node: ClusterNode): number => programsOn(node, '/pfnbd.mjs')[0]!;

/** Only while the node is not frozen: a process that waits for memory does not say its command line. */
function programsOn(node: ClusterNode, part: string): readonly number[] {
  const pids = node.processes().map(({ pid }) => pid);
  return pids.filter((pid) => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(part));
}

/** Seconds, as pods of all nodes count them. */
const uptime = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);

test.run();

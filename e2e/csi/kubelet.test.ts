// deadline: 600s
// needs: root native kube csi-sidecars openssl setpriv unshare containerd ctr runc ldd mkfs.ext4 mkfs.xfs xfs_growfs losetup /dev/fuse
// long
// Claims as a user makes them, on three real nodes with Kubernetes' own sidecars: what a StorageCluster brings along is enough for a claim to
// become a mounted volume, to move between pods, to grow, and to go without a trace. pfnbd is replaced under a volume that is in use.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject } from '@pureflash/datapath/base';
import { waitFor } from '../local/wait-for.ts';
import { NAMESPACE, specOnFiles, storageCluster, waitForCondition } from '../operator/operator-rig.ts';
import { claim, PATIENCE_MS, remove, removeCluster, serveClaims, useClaims, waitForNoVolumes } from './claims-rig.ts';
import { SHELL_IMAGE } from './csi-images.ts';

const CLUSTER = 'claims';
const CROWD = Number(process.env['PF_CLAIMS'] ?? 20);
const { plane, nodes } = useClaims(test, CLUSTER);

test("a StorageCluster brings the driver and the nodes' datapath", async () => {
  const storageClasses = [{ name: 'pureflash' }, { name: 'pureflash-xfs', fsType: 'xfs', replicas: 2 }];
  await serveClaims(plane(), CLUSTER, { csi: { controllers: 1 }, storageClasses });
});

test('what a pod writes into a claim, another one reads', async () => {
  await plane().apply([claim('data', { size: '256Mi' })]);
  await plane().apply([pod('writer', 'data', 'echo precious > /data/f && sync /data/f')]);
  await waitForPhase('writer', 'Succeeded');
  await remove(plane(), 'pod', 'writer');
  await plane().apply([pod('reader', 'data', 'cat /data/f')]);
  await waitForPhase('reader', 'Succeeded');
  assert.is(await plane().kubectl('logs', 'reader'), 'precious\n');
  await remove(plane(), 'pod', 'reader');
});

test('a raw claim is a device', async () => {
  await plane().apply([claim('raw', { size: '64Mi', volumeMode: 'Block' })]);
  const write = 'echo raw bytes | dd of=/dev/volume bs=4096 conv=sync,fsync status=none';
  await plane().apply([pod('raw-writer', 'raw', write, { isRaw: true })]);
  await waitForPhase('raw-writer', 'Succeeded');
  await remove(plane(), 'pod', 'raw-writer');
  await plane().apply([pod('raw-reader', 'raw', 'dd if=/dev/volume bs=9 count=1 status=none', { isRaw: true })]);
  await waitForPhase('raw-reader', 'Succeeded');
  assert.is(await plane().kubectl('logs', 'raw-reader'), 'raw bytes');
  await remove(plane(), 'pod', 'raw-reader');
});

test('pods on two nodes write one raw claim at the same time, and each reads what the other one wrote', async () => {
  await plane().apply([claim('both', { size: '64Mi', volumeMode: 'Block', accessMode: 'ReadWriteMany' })]);
  const [one, two] = nodes();
  const writeAt = (block: number): string => `dd of=/dev/volume bs=4096 seek=${block} conv=notrunc,sync oflag=direct status=none`;
  const readAt = (block: number): string => `dd if=/dev/volume bs=4096 skip=${block} count=1 iflag=direct status=none`;
  // Each writes its block, and waits for the other's word in the other block.
  const talk = (own: number, word: string, other: number, answer: string): string =>
    `echo ${word} | ${writeAt(own)}; until [ "$(${readAt(other)} | head -c ${answer.length})" = ${answer} ]; do sleep 0.2; done; echo heard ${answer}`;
  await plane().apply([
    pod('left', 'both', talk(0, 'salt', 1, 'pepper'), { isRaw: true, node: one!.name }),
    pod('right', 'both', talk(1, 'pepper', 0, 'salt'), { isRaw: true, node: two!.name }),
  ]);
  for (const name of ['left', 'right']) await waitForPhase(name, 'Succeeded');
  assert.is(await plane().kubectl('logs', 'left'), 'heard pepper\n');
  assert.is(await plane().kubectl('logs', 'right'), 'heard salt\n');
  await remove(plane(), 'pod', 'left', 'right');
});

test('a claim grows while it is mounted', async () => {
  await plane().apply([claim('growing', { size: '400Mi', storageClassName: 'pureflash-xfs' })]);
  await plane().apply([pod('grower', 'growing', 'echo before > /data/f && sync /data/f && sleep 600')]);
  await waitForPhase('grower', 'Running');
  const blocks = async (): Promise<number> =>
    Number(await plane().kubectl('exec', 'grower', '--', '/usr/bin/stat', '-f', '-c', '%b', '/data'));
  const before = await blocks();
  const patch = JSON.stringify({ spec: { resources: { requests: { storage: '800Mi' } } } });
  await plane().kubectl('patch', 'pvc', 'growing', '-p', patch);
  await plane().kubectl('wait', '--for=jsonpath={.status.capacity.storage}=800Mi', 'pvc/growing', '--timeout=60s');
  assert.ok((await blocks()) > 1.7 * before);
});

test('another revision of pfnbd waits for the deletion of its pods, and takes the volume over', async () => {
  const before = await datapathPods();
  await plane().apply([storageCluster(CLUSTER, specOnFiles({ csi: { controllers: 1 }, nodeDatapath: { mapper: 'fuse' } }))]);
  const waits = await waitForCondition(plane(), CLUSTER, 'UpToDate', 'False', 30_000, 'DatapathWaits');
  for (const node of nodes()) assert.match(waits.message, node.name);
  assert.equal([...(await datapathPods()).values()].sort(), [...before.values()].sort());
  const node = (await plane().kubectl('get', 'pod', 'grower', '-o', 'jsonpath={.spec.nodeName}')).trim();
  await plane().kubectl('delete', 'pod', '-n', NAMESPACE, before.get(node)!, '--wait=true');
  const read = plane().kubectl('exec', 'grower', '--', '/bin/sh', '-c', 'echo after >> /data/f && sync /data/f && cat /data/f');
  assert.is(await read, 'before\nafter\n');
  assert.is.not((await datapathPods()).get(node), before.get(node));
  await remove(plane(), 'pod', 'grower');
});

test(`${CROWD} claims and their pods at once`, async () => {
  const names = Array.from({ length: CROWD }, (_, index) => `crowd-${index}`);
  const startedAt = performance.now();
  await plane().apply(
    names.flatMap((name) => [
      claim(name, { size: '64Mi' }),
      pod(name, name, `echo ${name} > /data/f && sync /data/f && sleep 600`),
    ]),
  );
  const runningAfterMs = new Map<string, number>();
  await waitFor(
    `${CROWD} pods to run`,
    3 * PATIENCE_MS,
    async () => {
      const text = await plane().kubectl('get', 'pods', '-o', 'json');
      const { items } = JSON.parse(text) as { items: { metadata: { name: string }; status: { phase: string } }[] };
      for (const { metadata, status } of items) {
        const isNew = names.includes(metadata.name) && !runningAfterMs.has(metadata.name);
        if (status.phase === 'Running' && isNew) runningAfterMs.set(metadata.name, performance.now() - startedAt);
      }
      return runningAfterMs.size === CROWD ? true : null;
    },
    250,
  );
  const sorted = [...runningAfterMs.values()].sort((a, b) => a - b);
  const seconds = (part: number): string => (sorted[Math.min(CROWD - 1, Math.floor(part * CROWD))]! / 1000).toFixed(1);
  console.log(`      claim to running pod, ${CROWD} at once: p50 ${seconds(0.5)} s, last ${seconds(1)} s`);
  await remove(plane(), 'pod', ...names);
});

test('when the claims are gone, nothing is left of their volumes', async () => {
  await remove(plane(), 'pvc', '--all');
  await waitForNoVolumes(plane(), CLUSTER);
});

test('and with the cluster goes all that it brought', () => removeCluster(plane(), CLUSTER));

function pod(name: string, claimName: string, script: string, options: { isRaw?: boolean; node?: string } = {}): JsonObject {
  const { isRaw = false, node } = options;
  const place = isRaw
    ? { volumeDevices: [{ name: 'data', devicePath: '/dev/volume' }] }
    : { volumeMounts: [{ name: 'data', mountPath: '/data' }] };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
      containers: [
        { name: 'main', image: SHELL_IMAGE, imagePullPolicy: 'Never', command: ['/bin/sh', '-c', script], ...place },
      ] as never,
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
    },
  };
}

async function waitForPhase(name: string, phase: string): Promise<void> {
  await waitFor(`pod ${name} to be ${phase}`, PATIENCE_MS, async () => {
    const seen = await plane().kubectl('get', 'pod', name, '-o', 'jsonpath={.status.phase}');
    if (seen === 'Failed') throw new Error(`pod ${name} failed: ${await plane().kubectl('logs', name)}`);
    return seen === phase ? true : null;
  });
}

/** By node: the name of its pod. */
async function datapathPods(): Promise<ReadonlyMap<string, string>> {
  const text = await plane().kubectl('get', 'pods', '-n', NAMESPACE, '-l', 'app.kubernetes.io/component=pfnbd', '-o', 'json');
  const { items } = JSON.parse(text) as { items: { metadata: { name: string }; spec: { nodeName: string } }[] };
  return new Map(items.map(({ metadata, spec }) => [spec.nodeName, metadata.name]));
}

test.run();

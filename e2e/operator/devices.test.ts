// deadline: 400s
// needs: kube openssl setpriv root unshare containerd ctr runc ldd losetup mkfs.ext4
// long
// Stores on block devices of three real nodes: pods look at the devices, stores take them, nothing that holds data is formatted before it is
// named and confirmed, and a store comes back as itself from its disk. The devices are loop devices, so the operator is a laboratory's.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { MiB, type JsonObject } from '@pureflash/datapath/base';
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

const PFCLI = resolve(import.meta.dirname, '../../datapath/bin/pfcli');
const PATIENCE_MS = 90_000;
/** Of ext4, and where it lies. */
const EXT4_MAGIC = 0xef53;
const EXT4_MAGIC_OFFSET = 1024 + 56;

const folder = mkdtempSync(join(tmpdir(), 'pureflash-devices-'));
const plane = useControlPlane(test, { withControllerManager: true, withScheduler: true });
const nodes = useNodes(test, plane, 3);
const loops: string[] = [];
let operator: OperatorProcess;

interface StoreSeen {
  readonly spec: { readonly nodeName: string };
  readonly status?: {
    readonly storeId?: number;
    readonly storeUuid?: string;
    readonly disks?: readonly { readonly device: string; readonly status: string }[];
    readonly discovery?: {
      readonly devices: readonly { readonly path: string; readonly usedBy?: string; readonly use: string }[];
    };
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

function addLoop(name: string): string {
  const file = join(folder, name);
  writeFileSync(file, '');
  truncateSync(file, 512 * MiB);
  const path = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
  loops.push(path);
  return path;
}

/** Whether an ext4 lies on it. */
function holdsExt4(path: string): boolean {
  const fd = openSync(path, 'r');
  const bytes = new Uint8Array(2);
  readSync(fd, bytes, 0, 2, EXT4_MAGIC_OFFSET);
  closeSync(fd);
  return bytes[0]! + 256 * bytes[1]! === EXT4_MAGIC;
}

/** Each node's own device by its path: all nodes of the rig see the machine's. */
function spec(erase: readonly JsonObject[] = []): JsonObject {
  const overrides = nodes().map((node, index) => ({ node: node.name, devices: { paths: [loops[index]!] } }));
  const stores = {
    devices: { paths: ['/dev/disk/by-path/none'] },
    overrides,
    ...(erase.length === 0 ? {} : { erase: [...erase] }),
  };
  return specOnFiles({ stores });
}

async function storeOn(node: string): Promise<StoreSeen> {
  const { items } = JSON.parse(await plane().kubectl('get', 'pfstore', '-n', NAMESPACE, '-o', 'json')) as { items: StoreSeen[] };
  return items.find((each) => each.spec.nodeName === node)!;
}

async function untilStoresSay(text: string): Promise<void> {
  let said = '';
  await waitFor(`the stores' condition to say: ${text}`, PATIENCE_MS, async () => {
    const seen = await clusterSeen(plane(), 'demo');
    said = seen?.status?.conditions?.find(({ type }) => type === 'StoresReady')?.message ?? '';
    return said.includes(text) || null;
  }).catch((error: unknown) => {
    throw new Error(`it says: ${said}`, { cause: error });
  });
}

const isOnline = (seen: StoreSeen): boolean =>
  seen.status?.conditions?.some((each) => each.type === 'Online' && each.status === 'True') === true;

test.before(
  sayWhy(async () => {
    for (const name of ['first', 'second', 'third']) addLoop(name);
    execFileSync('mkfs.ext4', ['-q', loops[2]!]);
    const image = join(folder, 'pureflash.tar');
    await buildImage(image);
    for (const node of nodes()) await node.loadImage(image);
    await installCrds(plane());
    operator = new OperatorProcess(plane().kubeconfigPath, folder);
    operator.start(['--loop-devices']);
  }),
);

test.after(async () => {
  await operator.kill();
});

/** After the nodes, which have them open, have ended. */
process.once('exit', () => {
  for (const path of loops) execFileSync('losetup', ['--detach', path]);
  rmSync(folder, { recursive: true, force: true });
});

test('blank devices become disks; one that holds data does not, and it is said what to do', async () => {
  const startedAt = performance.now();
  await plane().apply([storageCluster('demo', spec())]);
  await untilStoresSay(
    `${nodes()[2]!.name}: no disk: ${loops[2]}: holds data (ext4): add an entry to erase with its path, "${loops[2]}", as confirmation`,
  );
  for (const [index, node] of nodes().slice(0, 2).entries()) {
    const seen = await waitFor('the store', PATIENCE_MS, async () => {
      const store = await storeOn(node.name);
      return isOnline(store) ? store : null;
    });
    assert.equal(
      seen.status!.disks!.map(({ device, status }) => [device, status]),
      [[loops[index]!, 'OK']],
    );
  }
  console.log(`      two stores online after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  assert.ok(holdsExt4(loops[2]!));
});

test('the report shows what is on each device, and who uses those of the machine', async () => {
  const { status } = await storeOn(nodes()[2]!.name);
  const devices = status!.discovery!.devices;
  assert.match(devices.find(({ path }) => path === loops[2])!.usedBy!, 'ext4');
  const root = execFileSync('findmnt', ['--noheadings', '--output', 'SOURCE', '/'], { encoding: 'utf8' }).trim();
  const system = devices.find(({ path }) => path === root);
  if (system !== undefined) assert.is(system.use, 'foreign');
});

test('once it is confirmed the device is erased, and the cluster is Ready', async () => {
  const node = nodes()[2]!.name;
  await plane().apply([storageCluster('demo', spec([{ node, device: loops[2]!, confirmation: 'something else' }]))]);
  await untilStoresSay(`is confirmed by "something else": its path, "${loops[2]}", is wanted`);
  assert.ok(holdsExt4(loops[2]!));
  await plane().apply([storageCluster('demo', spec([{ node, device: loops[2]!, confirmation: loops[2]! }]))]);
  await waitForCondition(plane(), 'demo', 'Ready', 'True', PATIENCE_MS);
  assert.not(holdsExt4(loops[2]!));
});

test('a store that lost its pod comes back from its disk as the same store', async () => {
  const before = await knownStores();
  assert.equal(
    before.map(({ id, status }) => [id, status]),
    [1, 2, 3].map((id) => [id, 'OK']),
  );
  const pod = (await plane().kubectl('get', 'pods', '-n', NAMESPACE, '-o', 'name', '-l', 'app.kubernetes.io/component=store'))
    .trim()
    .split('\n')[0]!;
  const uidOfReady = '{.metadata.uid} {.status.conditions[?(@.type=="Ready")].status}';
  const [uid] = (await plane().kubectl('get', pod, '-n', NAMESPACE, '-o', `jsonpath=${uidOfReady}`)).split(' ');
  await plane().kubectl('delete', pod, '-n', NAMESPACE, '--grace-period=0', '--force');
  await waitFor('another pod that is ready', PATIENCE_MS, async () => {
    const text = await plane().kubectl('get', pod, '-n', NAMESPACE, '-o', `jsonpath=${uidOfReady}`, '--ignore-not-found');
    const [now, isReady] = text.split(' ');
    return (now !== uid && isReady === 'True') || null;
  });
  await waitForCondition(plane(), 'demo', 'Ready', 'True', PATIENCE_MS);
  // A disk that was formatted anew would have made a fourth one.
  assert.equal(await knownStores(), before);
});

interface KnownStore {
  readonly id: number;
  readonly store_uuid: string;
  readonly status: string;
}

/** As the conductor has them. */
async function knownStores(): Promise<readonly KnownStore[]> {
  const conductor = (await clusterSeen(plane(), 'demo'))!.status!.endpoints![0]!;
  const secret = await plane().kubectl('get', 'secret', 'demo-api-token', '-n', NAMESPACE, '-o', 'jsonpath={.data.token}');
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, atob(secret), { mode: 0o600 });
  const words = ['list_store', '--json', '--conductor', conductor, '--token-file', tokenFile];
  const stores = JSON.parse(execFileSync(PFCLI, words, { encoding: 'utf8' })) as readonly KnownStore[];
  return stores.map(({ id, store_uuid, status }) => ({ id, store_uuid, status }));
}

test.run();

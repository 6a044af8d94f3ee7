// deadline: 120s
// What is wanted becomes processes; what is wanted no longer ends, and its data stays; one failure stops no other.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '@pureflash/datapath/base';
import { openNodeWorld, type Logger, type World } from '@pureflash/datapath/world';
import { dataFolder } from './host-paths.ts';
import type { LocalConductor, LocalInstances, LocalStore } from './instances.ts';
import { LocalPlatform } from './local-platform.ts';

const PROGRAMS = resolve(import.meta.dirname, '../../../datapath/bin');
const SUBNET = `127.${64 + (process.pid % 128)}.${(process.pid >> 7) % 256}`;
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent, setLevel() {} };

const conductor: LocalConductor = {
  ordinal: 0,
  node: 'host-1',
  address: `${SUBNET}.1`,
  port: 49180,
  dataPath: '/var/lib/lab/conductor-0',
  clusterName: 'lab',
  logLevel: 'info',
};

const storeOn = (number: number, changes: Partial<LocalStore> = {}): LocalStore => ({
  node: `host-${number}`,
  address: `${SUBNET}.${10 + number}`,
  dataPort: 49162,
  managementPort: 49181,
  failureDomain: `rack-${number}`,
  disks: [{ path: '/disks/a.img', sizeBytes: 512 * MiB }],
  servesLegacyClients: false,
  conductors: [`${SUBNET}.1:49180`],
  logLevel: 'info',
  recoveryParallel: 4,
  ...changes,
});

const root = mkdtempSync(join(tmpdir(), 'pf-'));
const data = dataFolder(root);
let world: World;
let platform: LocalPlatform;

const wanted = (...stores: readonly LocalStore[]): LocalInstances => ({ conductors: [conductor], stores, fronts: [] });

async function apply(instances: LocalInstances): Promise<readonly string[]> {
  const results = await platform.apply(instances);
  return results.map(({ name, outcome, error }) => `${name}: ${error === null ? outcome : error.message}`);
}

const messageOf = (error: Error): string => error.message;
const pids = (): Record<string, number | null> => Object.fromEntries(platform.reports().map(({ name, pid }) => [name, pid]));

test.before(async () => {
  world = await openNodeWorld({ ports: 'libuv', memoryBytes: 16 * MiB, log: silent });
  platform = await LocalPlatform.open(world, { data, programs: PROGRAMS });
});

test.after(async () => {
  await platform.stop();
  await platform.close();
  await world.close();
  rmSync(root, { recursive: true, force: true });
});

test('conductor and stores run, with their files in the folders of their hosts', async () => {
  assert.equal(await apply(wanted(storeOn(1), storeOn(2))), ['conductor/0: done', 'store/host-1: done', 'store/host-2: done']);
  assert.ok(existsSync(join(root, 'host-1/var/lib/lab/conductor-0')));
  assert.ok(existsSync(join(root, 'host-2/disks/a.img')));
  const [first] = platform.reports();
  const { name, kind, isOnline, restarts, lastFailure, isCurrent } = first!;
  assert.equal(
    { name, kind, isOnline, restarts, lastFailure, isCurrent },
    {
      name: 'conductor/0',
      kind: 'conductor',
      isOnline: true,
      restarts: 0,
      lastFailure: null,
      isCurrent: true,
    },
  );
});

test('the same again changes nothing; live settings change no process, others restart it alone', async () => {
  const before = pids();
  await apply(wanted(storeOn(1), storeOn(2)));
  assert.equal(pids(), before);
  await apply(wanted(storeOn(1, { logLevel: 'debug', recoveryParallel: 1 }), storeOn(2)));
  assert.equal(pids(), before);
  assert.match(readFileSync(join(data.log, 'store+host-1.log'), 'utf8'), '"changed":["recoveryParallel","logLevel"]');
  await apply(wanted(storeOn(1, { logLevel: 'debug', recoveryParallel: 1 }), storeOn(2, { servesLegacyClients: true })));
  const after = pids();
  assert.equal([after['conductor/0'], after['store/host-1']], [before['conductor/0'], before['store/host-1']]);
  assert.is.not(after['store/host-2'], before['store/host-2']);
});

test('a store that is wanted no longer is stopped, and its data stays', async () => {
  assert.equal(await apply(wanted(storeOn(1))), ['conductor/0: done', 'store/host-1: done', 'store/host-2: orphan stopped']);
  assert.equal(Object.keys(pids()), ['conductor/0', 'store/host-1']);
  assert.ok(existsSync(join(root, 'host-2/disks/a.img')));
});

test('a platform that lets go leaves the daemons to the next one; two at a time are refused', async () => {
  const before = pids();
  const second = LocalPlatform.open(world, { data, programs: PROGRAMS });
  assert.match(await second.then(() => 'opened', messageOf), `cannot lock ${data.run}/manager.lock`);
  await platform.close();
  platform = await LocalPlatform.open(world, { data, programs: PROGRAMS });
  await apply(wanted(storeOn(1)));
  assert.equal(pids(), before);
});

test('a path that leaves its host is refused before anything is done', async () => {
  const bad = storeOn(2, { disks: [{ path: '/../../etc/x', sizeBytes: 4096 }] });
  assert.match(
    await platform.apply(wanted(storeOn(1), bad)).then(() => 'done', messageOf),
    /cannot use the path "\/\.\.\/\.\.\/etc\/x" on host-2/,
  );
  assert.equal(Object.keys(pids()), ['conductor/0', 'store/host-1']);
});

test.run();

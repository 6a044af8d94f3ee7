// What a cluster on this machine cannot be, said before anything of it is touched. What it is: cli/pureflash.test.ts.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB, type JsonObject } from '@pureflash/datapath/base';
import { openNodeWorld, type Logger } from '@pureflash/datapath/world';
import { specOf } from '../plan/testing/views.ts';
import { dataFolder } from './host-paths.ts';
import { LocalCluster } from './local-cluster.ts';

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent, setLevel() {} };
const root = mkdtempSync(join(tmpdir(), 'pf-'));

test.after(() => rmSync(root, { recursive: true, force: true }));

async function refusalOf(patch: JsonObject): Promise<string> {
  const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 16 * MiB, log: silent });
  const cluster = await LocalCluster.open(world, { data: dataFolder(root), programs: '/nowhere', parseTime: Date.parse });
  try {
    await cluster.round({ name: 'lab', spec: specOf(patch), hosts: 3, subnet: '127.0.0', served: [] });
    return 'taken';
  } catch (error) {
    return (error as Error).message;
  } finally {
    await cluster.close();
    await world.close();
  }
}

test('ZooKeeper and MariaDB are not run here, whoever would run them', async () => {
  const said =
    'cannot run ZooKeeper and MariaDB on this machine: a local cluster keeps its state in its conductors; say metadataEngine: embedded and leave zookeeper and mariadb out';
  const managed = { metadataEngine: 'external', zookeeper: { managed: {} }, mariadb: { managed: {} } };
  assert.is(await refusalOf(managed), said);
  const given = { zookeeper: { endpoints: ['zk:2181'] }, mariadb: { endpoints: ['db:3306'], credentialsSecret: 'login' } };
  assert.is(await refusalOf({ ...managed, ...given }), said);
  assert.not(existsSync(join(root, 'cluster.json')));
});

test('simulated hosts have one network', async () => {
  for (const networks of [{ client: '10.1.0.0/16' }, { replication: '10.2.0.0/16' }])
    assert.is(
      await refusalOf({ networks }),
      'cannot give simulated hosts networks for clients and stores: all of them are on the loopback interface of this machine; leave spec.networks out',
    );
});

test('devices are not chosen here', async () => {
  assert.match(await refusalOf({ stores: { devices: { allUnused: true } } }), 'simulated hosts have none');
});

test.run();

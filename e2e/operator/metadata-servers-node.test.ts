// deadline: 400s
// needs: kube openssl setpriv root unshare containerd ctr runc ldd java mariadbd mariadb-admin /usr/share/zookeeper/bin/zkServer.sh
// long
// Managed servers in real pods, with Debian's programs in their image: what the manifests allow them is enough, their probes come true, and
// the conditions of the cluster with them. One of each, since pods of this rig share one machine's addresses: a quorum of processes is
// in zookeeper-servers.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { useControlPlane, useNodes } from '../kube/suite.ts';
import {
  clusterSeen,
  installCrds,
  NAMESPACE,
  OperatorProcess,
  specOnFiles,
  storageCluster,
  waitForCondition,
} from './operator-rig.ts';
import { buildServerImage } from './server-image.ts';

const PATIENCE_MS = 120_000;
const IMAGE = 'localhost/metadata-servers:1.0';
const HERE = ['-n', NAMESPACE];
const folder = mkdtempSync(join(tmpdir(), 'pureflash-server-pods-'));
const plane = useControlPlane(test, { withControllerManager: true, withScheduler: true });
const nodes = useNodes(test, plane, 1);
let operator: OperatorProcess;

const managed = { replicas: 1, image: IMAGE };
const manifest = () =>
  storageCluster('demo', specOnFiles({ metadataEngine: 'external', zookeeper: { managed }, mariadb: { managed } }));

test.before(
  sayWhy(async () => {
    const image = join(folder, 'servers.tar');
    buildServerImage(image, IMAGE);
    await nodes()[0]!.loadImage(image);
    await installCrds(plane());
    operator = new OperatorProcess(plane().kubeconfigPath, folder);
    operator.start();
  }),
);

test.after(async () => {
  await operator.kill();
  rmSync(folder, { recursive: true, force: true });
});

async function untilServing(): Promise<void> {
  await waitForCondition(plane(), 'demo', 'ZooKeeperReady', 'True', PATIENCE_MS, 'Serving').catch(tell);
  await waitForCondition(plane(), 'demo', 'MetadataStoreReady', 'True', PATIENCE_MS, 'Serving').catch(tell);
}

/** What the pods have to say to a wait in vain. */
async function tell(error: unknown): Promise<never> {
  for (const pod of ['demo-zookeeper-0', 'demo-mariadb-0']) {
    console.log(await plane().kubectl('describe', 'pod', pod, ...HERE));
    for (const container of ['prepare', 'mariadb', 'zookeeper'])
      console.log(
        await plane()
          .kubectl('logs', pod, ...HERE, '-c', container, '--tail=30')
          .catch(String),
      );
  }
  throw error;
}

test('servers in pods become ready, and the conditions say so', async () => {
  const startedAt = performance.now();
  await plane().apply([manifest()]);
  await untilServing();
  console.log(`      serving after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  const ready = await waitForCondition(plane(), 'demo', 'Ready', 'False', PATIENCE_MS, 'EngineNotAvailable');
  assert.match(ready.message, 'ZooKeeper and MariaDB are prepared');
});

const inMariadb = (statement: string): Promise<string> => {
  const script = `mariadb --user=conductor --password="$(cat /etc/pureflash-mariadb-secret/conductor-password)" --host=$POD_IP --batch --execute "${statement}"`;
  return plane().kubectl('exec', 'demo-mariadb-0', ...HERE, '-c', 'mariadb', '--', 'bash', '-c', script);
};

test('a pod that is killed comes back with its data', async () => {
  await inMariadb("CREATE TABLE pureflash.words (word VARCHAR(20)); INSERT INTO pureflash.words VALUES ('kept')");
  await plane().kubectl('delete', 'pod', 'demo-mariadb-0', 'demo-zookeeper-0', ...HERE);
  await waitForCondition(plane(), 'demo', 'MetadataStoreReady', 'True', PATIENCE_MS, 'Serving');
  await waitFor('the row', PATIENCE_MS, () =>
    inMariadb('SELECT word FROM pureflash.words').then((said) => said.includes('kept') || null),
  );
});

test('a cluster of the same name finds its data again, under new passwords', async () => {
  await plane().kubectl('delete', 'pfcl', 'demo', ...HERE, '--wait=false');
  await waitFor('the cluster to go', PATIENCE_MS, async () => ((await clusterSeen(plane(), 'demo')) === null ? true : null));
  await waitFor('its Secret and pods to go', PATIENCE_MS, async () => {
    const left = await plane().kubectl('get', 'pod,secret', ...HERE, '-l', 'app.kubernetes.io/instance=demo', '-o', 'name');
    return left.trim() === '' || null;
  });
  await plane().apply([manifest()]);
  await untilServing();
  assert.match(await inMariadb('SELECT word FROM pureflash.words'), 'kept');
});

test.run();

// The test cluster's control plane does what suites rely on: it takes objects, its controllers act on them, an outage of the
// API server loses nothing, and afterwards no process and no file is left.
// deadline: 180s
// needs: kube openssl setpriv
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { waitFor } from '../local/wait-for.ts';
import { ControlPlane } from './control-plane.ts';
import { RigPlace } from './rig-place.ts';
import { isAlive } from './rig-process.ts';
import { useControlPlane } from './suite.ts';

const PATIENCE_MS = 30_000;
const labels = { app: 'demo' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'localhost/none:1' }] } };

interface Seen {
  readonly metadata: { readonly uid: string };
  readonly status?: { readonly replicas?: number; readonly observedGeneration?: number };
}

const running = suite('a running control plane');
const plane = useControlPlane(running, { withControllerManager: true, withScheduler: true });

async function find(...words: string[]): Promise<Seen | null> {
  return (await plane().find('-n', 'default', ...words)) as Seen | null;
}

running('controllers make the pods of a Deployment and of a StatefulSet', async () => {
  const spec = { replicas: 1, selector: { matchLabels: labels }, template };
  await plane().apply([
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'default' }, spec },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace: 'default' },
      spec: { ...spec, serviceName: 'db' },
    },
  ]);
  await waitFor('a pod of the Deployment', PATIENCE_MS, async () =>
    (await find('deployment/web'))?.status?.replicas === 1 ? true : null,
  );
  await waitFor('the first pod of the StatefulSet', PATIENCE_MS, () => find('pod/db-0'));
});

running('what an object owns is deleted with it', async () => {
  const owner = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owner', namespace: 'default' } };
  await plane().apply([owner]);
  const uid = (await find('configmap/owner'))!.metadata.uid;
  const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid }];
  await plane().apply([{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'owned', namespace: 'default', ownerReferences } }]);
  assert.ok(await find('secret/owned'));
  await plane().kubectl('delete', 'configmap/owner', '-n', 'default');
  await waitFor('the owned object to be gone', PATIENCE_MS, async () => ((await find('secret/owned')) === null ? true : null));
});

running('after a crash of the API server everything is there, on the same address, and the controllers go on', async () => {
  await plane().apply([{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kept', namespace: 'default' } }]);
  const before = plane().pids;
  await plane().stopApiServer();
  const refusal = await plane()
    .kubectl('get', 'namespaces')
    .catch((error: Error) => error.message);
  assert.match(refusal, /refused/);
  await plane().startApiServer();
  assert.ok(await find('configmap/kept'));
  const after = plane().pids;
  assert.is(after['kube-controller-manager'], before['kube-controller-manager']);
  assert.is.not(after['kube-apiserver'], before['kube-apiserver']);
  await plane().kubectl('scale', 'deployment/web', '--replicas=2', '-n', 'default');
  await waitFor('two pods', PATIENCE_MS, async () => ((await find('deployment/web'))?.status?.replicas === 2 ? true : null));
});

running('helm reaches it', async () => {
  assert.match(await plane().helm('list', '--all-namespaces'), /^NAME/);
});

const ending = suite('the end of a control plane');

ending('stop() leaves no process and no file', async () => {
  const own = await ControlPlane.start();
  const pids = Object.values(own.pids);
  assert.is(pids.length, 2);
  await own.stop();
  assert.equal(pids.filter(isAlive), []);
  assert.not(existsSync(own.place.folder));
});

ending('a start that fails says what the program said, and leaves nothing', async () => {
  const failure = await ControlPlane.start({ apiServerFlags: ['--no-such-flag=1'] }).catch((error: Error) => error.message);
  assert.match(failure as string, /kube-apiserver ended \(exit 1\) at its start; it said:[^]*unknown flag: --no-such-flag/);
  assert.equal(childrenOfThisProcess(), []);
});

ending('kill -9 of the process that started it ends every program; the next cluster removes its files', async () => {
  const script = `
    import { ControlPlane } from ${JSON.stringify(import.meta.resolve('./control-plane.ts'))};
    const { pids, place } = await ControlPlane.start();
    console.log(JSON.stringify({ pids: Object.values(pids), folder: place.folder }));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [text] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  const { pids, folder } = JSON.parse(text) as { pids: number[]; folder: string };
  assert.equal(pids.filter(isAlive), pids);
  child.kill('SIGKILL');
  await waitFor('the programs to end', PATIENCE_MS, async () => Promise.resolve(pids.some(isAlive) ? null : true));
  assert.ok(existsSync(folder));
  await (await RigPlace.take()).giveBack();
  assert.not(existsSync(folder));
});

function childrenOfThisProcess(): string[] {
  const table = execFileSync('ps', ['-o', 'comm=', '--ppid', String(process.pid)], { encoding: 'utf8' });
  return table.split('\n').filter((name) => name !== '' && name !== 'ps');
}

running.run();
ending.run();

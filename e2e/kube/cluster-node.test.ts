// Nodes are real: pods run on two of them at once, each on its node's address, reach the API server as in any cluster, survive
// the loss of a node, and when all is stopped no process, mount or cgroup is left.
// deadline: 300s
// needs: root kube openssl setpriv unshare containerd ctr runc ldd
// long
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { waitFor } from '../local/wait-for.ts';
import { cgroupNames } from './cgroups.ts';
import { ClusterNode } from './cluster-node.ts';
import { ControlPlane } from './control-plane.ts';
import { nodeFiles, writeImage } from './image.ts';
import { useControlPlane, useNodes } from './suite.ts';

const PATIENCE_MS = 60_000;
const IMAGE = 'localhost/node:1';
const PORT = 8080;

const running = suite('two nodes');
const plane = useControlPlane(running, { withControllerManager: true, withScheduler: true });
const nodes = useNodes(running, plane, 2);

running.before(async () => {
  const file = join(plane().place.folder, 'node-image.tar');
  writeImage({ file, name: IMAGE, files: nodeFiles(), entrypoint: ['/bin/node'] });
  await Promise.all(nodes().map((node) => node.loadImage(file)));
});

/** Answers every request with the node's address and what lies in the folder. */
const SERVER = `
  import { appendFileSync, readFileSync } from 'node:fs';
  import { createServer } from 'node:http';
  const { HOST } = process.env;
  appendFileSync('/data/starts', HOST + '\\n');
  createServer((_, response) => response.end(readFileSync('/data/starts'))).listen(${PORT}, HOST);`;

/** Asks the API server for itself, with what every pod is given. */
const CALLER = `
  import { readFileSync } from 'node:fs';
  import { get } from 'node:https';
  const file = (name) => readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/' + name);
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  const headers = { authorization: 'Bearer ' + file('token') };
  get({ host, port, path: '/version', ca: file('ca.crt'), headers }, (response) => {
    let text = '';
    response.on('data', (part) => (text += part)).on('end', () => console.log(JSON.parse(text).gitVersion));
  });`;

function container(script: string): object {
  const hostAddress = { name: 'HOST', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } };
  const args = ['--input-type=module', '-e', script];
  return { name: 'main', image: IMAGE, imagePullPolicy: 'Never', args, env: [hostAddress] };
}

async function replicas(): Promise<number> {
  const seen = (await plane().find('deployment/web', '-n', 'default')) as { status?: { readyReplicas?: number } } | null;
  return seen?.status?.readyReplicas ?? 0;
}

running('pods of a Deployment become ready on both nodes, each on its own address', async () => {
  const main = {
    ...container(SERVER),
    ports: [{ containerPort: PORT, hostPort: PORT }],
    readinessProbe: { httpGet: { port: PORT }, periodSeconds: 1 },
    volumeMounts: [{ name: 'data', mountPath: '/data' }],
  };
  const labels = { app: 'web' };
  const volumes = [{ name: 'data', hostPath: { path: '/var/lib/web', type: 'DirectoryOrCreate' } }];
  const podSpec = { hostNetwork: true, terminationGracePeriodSeconds: 0, containers: [main], volumes };
  const spec = { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec } };
  await plane().apply([{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'default' }, spec }]);
  await waitFor('two ready pods', PATIENCE_MS, async () => ((await replicas()) === 2 ? true : null));
  for (const node of nodes()) {
    assert.is(await (await fetch(`http://${node.name}:${PORT}/`)).text(), `${node.name}\n`);
    assert.is(readFileSync(join(node.folder, 'var/lib/web/starts'), 'utf8'), `${node.name}\n`);
  }
});

running('a service has an address that leads to its pods, and names lead to both', async () => {
  const selector = { app: 'web' };
  const ports = [{ port: 80, targetPort: PORT }];
  await plane().apply([
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' }, spec: { selector, ports } },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'all', namespace: 'default' }, spec: { selector, clusterIP: 'None' } },
  ]);
  const script = `
    import { lookup } from 'node:dns/promises';
    const addresses = (await lookup('all', { all: true })).map(({ address }) => address).sort();
    const texts = new Set();
    for (let i = 0; i < 4; i++) texts.add(await (await fetch('http://web.default', { headers: { connection: 'close' } })).text());
    console.log(JSON.stringify({ addresses, texts: [...texts].sort() }));`;
  const spec = {
    ...{ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet', restartPolicy: 'OnFailure' },
    containers: [container(script)],
  };
  await plane().apply([{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'asker', namespace: 'default' }, spec }]);
  await plane().kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/asker', '-n', 'default', '--timeout=60s');
  const addresses = nodes().map((node) => node.name);
  assert.equal(JSON.parse(await plane().kubectl('logs', 'asker', '-n', 'default')), {
    addresses,
    texts: addresses.map((address) => `${address}\n`),
  });
});

running('pods without the host network have their own names and addresses, and meet at one port', async () => {
  const podAddress = { name: 'HOST', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } };
  const script = `
    import { hostname } from 'node:os';
    import { createServer } from 'node:http';
    createServer((_, response) => response.end(hostname())).listen(${PORT}, process.env.HOST);`;
  const main = { ...container(script), env: [podAddress], readinessProbe: { httpGet: { port: PORT }, periodSeconds: 1 } };
  const labels = { app: 'peer' };
  const template = { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [main] } };
  const spec = { replicas: 3, serviceName: 'peer', podManagementPolicy: 'Parallel', selector: { matchLabels: labels }, template };
  await plane().apply([
    { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'peer', namespace: 'default' }, spec },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'peer', namespace: 'default' },
      spec: { selector: labels, clusterIP: 'None' },
    },
  ]);
  await plane().kubectl('rollout', 'status', 'statefulset/peer', '-n', 'default', '--timeout=60s');
  const asker = `
    const texts = [];
    for (const i of [0, 1, 2]) texts.push(await (await fetch('http://peer-' + i + '.peer:${PORT}')).text());
    console.log(texts.join(' '));`;
  const exec = ['exec', 'peer-0', '-n', 'default', '--', '/bin/node', '--input-type=module', '-e', asker];
  assert.is(await plane().kubectl(...exec), 'peer-0 peer-1 peer-2\n');
  await plane().kubectl('delete', 'statefulset/peer', '-n', 'default', '--cascade=foreground', '--timeout=60s');
  await waitFor('the addresses to be free again', PATIENCE_MS, async () => {
    return Promise.resolve(nodes().every((node) => readdirSync(join(node.folder, 'run/pod-addresses')).length === 0) || null);
  });
});

running('kubectl reads the log of a pod that called the API server with its service account', async () => {
  const spec = { hostNetwork: true, restartPolicy: 'Never', containers: [container(CALLER)] };
  await plane().apply([{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'caller', namespace: 'default' }, spec }]);
  await plane().kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/caller', '-n', 'default', '--timeout=60s');
  assert.match(await plane().kubectl('logs', 'caller', '-n', 'default'), /^v1\.\d+\.\d+\n$/);
});

running('kubectl runs a command inside a pod', async () => {
  const script = 'console.log(process.getuid(), process.env.HOST)';
  const output = await plane().kubectl('exec', 'deployment/web', '-n', 'default', '--', '/bin/node', '-e', script);
  assert.match(output, /^0 127\.\d+\.1\.[12]\n$/);
});

running('a frozen node is silent, and goes on where it was when it thaws', async () => {
  const node = nodes()[1]!;
  const before = node.processes().map(({ pid }) => pid);
  assert.ok(before.length > 3);
  await node.freeze();
  try {
    assert.equal(
      node.processes().filter(({ state }) => state !== 'T'),
      [],
    );
    const answer = fetch(`http://${node.name}:${PORT}/`, { signal: AbortSignal.timeout(1_000) });
    assert.is(await answer.catch((error: Error) => error.name), 'TimeoutError');
    assert.is((await fetch(`http://${nodes()[0]!.name}:${PORT}/`)).status, 200);
  } finally {
    node.thaw();
  }
  assert.is(await (await fetch(`http://${node.name}:${PORT}/`)).text(), `${node.name}\n`);
  const after = new Set(node.processes().map(({ pid }) => pid));
  assert.ok(before.some((pid) => after.has(pid)));
});

running('a node that lost its power takes its pods along, and comes back with its disk', async () => {
  const lost = nodes()[1]!;
  await lost.powerOff();
  const refusal = await fetch(`http://${lost.name}:${PORT}/`).catch((error: Error) => error.message);
  assert.is(refusal, 'fetch failed');
  await lost.boot();
  const text = await waitFor('the pod to run again', PATIENCE_MS, async () =>
    (await fetch(`http://${lost.name}:${PORT}/`)).text(),
  );
  assert.is(text, `${lost.name}\n${lost.name}\n`);
});

running('a node that cannot start says what its programs said, and leaves nothing', async () => {
  const start = ClusterNode.start(plane(), { index: 3, kubeletFlags: ['--no-such-flag'] });
  const failure = await start.then(
    () => '',
    (error: Error) => error.message,
  );
  assert.match(
    failure,
    /^cannot start node 127\.\d+\.1\.3; its programs said:\ncontainerd: [^]*\nkubelet: [^]*unknown flag: --no-such-flag/,
  );
  assert.equal(processesOf(join(plane().place.folder, 'node-3')), []);
  assert.not(existsSync(join(plane().place.folder, 'node-3')));
});

running('a second node of the same index is refused and does not hurt the first', async () => {
  const refusal = await ClusterNode.start(plane(), { index: 1 }).catch((error: Error) => error.message);
  assert.match(refusal as string, /^cannot start node 127\.\d+\.1\.1: it exists already/);
  assert.ok(nodes()[0]!.isRunning);
});

running('a node that is stopped is no node of the cluster any more', async () => {
  const node = nodes()[1]!;
  await node.stop();
  assert.is(await plane().find(`node/${node.name}`), null);
  assert.equal(processesOf(node.folder), []);
});

const ending = suite('the end of a node');

ending('the end of the control plane leaves no process, mount, file or cgroup of its nodes', async () => {
  const own = await ControlPlane.start({ withControllerManager: true });
  const { folder, name } = own.place;
  const node = await ClusterNode.start(own);
  assert.ok(processesOf(folder).length > 3);
  assert.ok(cgroupNames().includes(name));
  await own.stop();
  assert.not(node.isRunning);
  assert.equal(processesOf(folder), []);
  assert.not(readFileSync('/proc/mounts', 'utf8').includes(name));
  assert.not(existsSync(folder));
  assert.not(cgroupNames().includes(name));
  assert.equal(execFileSync('ip', ['-brief', 'link'], { encoding: 'utf8' }).match(/cni|veth/g), null);
});

/** The command lines that name the folder, and those inside the namespaces of their nodes. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return ''; // It ended since the folder was read.
      }
    })
    .filter((line) => line.includes(folder));
}

running.run();
ending.run();

// `make kube`: a Kubernetes cluster of one node on this machine, until Ctrl-C; then nothing of it is left. ONCE=1 runs a pod on
// it and exits with the outcome. Needs root, containerd and runc; builds the Kubernetes programs where they are missing.
import { spawnSync } from 'node:child_process';
import { join, relative } from 'node:path';
import { Story } from '../local/story.ts';
import { machineNeeds, missingNeed, sayNeed } from '../run/needs.ts';
import { findBinaries } from './binaries.ts';
import { ClusterNode } from './cluster-node.ts';
import { ClusterNetwork } from './cluster-network.ts';
import { ControlPlane } from './control-plane.ts';
import { BINARIES_FOLDER } from './go-module.ts';
import { nodeFiles, writeImage } from './image.ts';

const NEEDS = ['root', 'kube', 'openssl', 'setpriv', 'unshare', 'containerd', 'ctr', 'runc', 'ldd'];
const IMAGE = 'localhost/node:1';
const HELLO = ['apply', '-f', relative(process.cwd(), join(import.meta.dirname, 'hello-pod.yaml'))];

const isOnce = (process.env['ONCE'] ?? '') !== '';
const story = new Story();
const interruption = new AbortController();
const interrupted = new Promise<void>((resolve) => interruption.signal.addEventListener('abort', () => resolve()));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interruption.abort());

let plane: ControlPlane | null = null;
const missing = missingNeed(NEEDS, machineNeeds(join(import.meta.dirname, '../..')));
try {
  if (missing !== null) throw new Error(`make kube needs ${sayNeed(missing)}`);
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, 'build-binaries.ts')], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the Kubernetes programs could not be built, as said above');
  await play();
} catch (error) {
  if (!interruption.signal.aborted) story.fail(error);
} finally {
  const started = plane as ControlPlane | null;
  if (started !== null) await story.step('stop and remove everything', () => started.stop());
}
process.exitCode = story.hasFailed ? 1 : 0;

async function play(): Promise<void> {
  const started = await story.step('start etcd, kube-apiserver, kube-controller-manager and kube-scheduler', async () => {
    return (plane = await ControlPlane.start({ withControllerManager: true, withScheduler: true }));
  });
  if (interruption.signal.aborted) return;
  const node = await story.step('start a node: containerd and kubelet', async () => {
    await ClusterNetwork.start(started);
    return ClusterNode.start(started);
  });
  if (interruption.signal.aborted) return;
  await story.step(`load the image ${IMAGE}`, async () => {
    const file = join(started.place.folder, 'node-image.tar');
    writeImage({ file, name: IMAGE, files: nodeFiles(), entrypoint: ['/bin/node'] });
    await node.loadImage(file);
    return 'this Node and its libraries';
  });
  if (isOnce) return runOnce(started);
  story.say(`
export PATH=${findBinaries() ?? BINARIES_FOLDER}:$PATH KUBECONFIG=${started.kubeconfigPath}

try   kubectl get nodes,pods --all-namespaces -o wide
      kubectl ${HELLO.join(' ')} && kubectl wait --for=condition=Ready pod/hello && kubectl logs hello
      helm list --all-namespaces

Pods have loopback addresses of their own and listen on status.podIP; the one image is ${IMAGE}. Ctrl-C removes everything.`);
  await interrupted;
}

async function runOnce(started: ControlPlane): Promise<void> {
  await story.step('run a pod', async () => {
    await started.kubectl(...HELLO);
    await started.kubectl('wait', '--for=condition=Ready', 'pod/hello', '--timeout=60s');
    return (await started.kubectl('logs', 'hello')).trim();
  });
}

// A whole Kubernetes node as one child process: containerd, kubelet and its pods in process and mount namespaces of their own,
// so that one kill ends all of it, and several nodes share a machine. Used by suites whose pods must really run, and by
// `make kube`; needs root. A node has its own /run, /var/lib and /var/log (found under `folder`) and a loopback address that is
// also its name. Every pod is in the machine's network with a loopback address of its own (cni/machine-loopback): its programs
// listen on `status.podIP`; two that listen on 0.0.0.0 at one port collide.
// Keeps: `stop` and the end of this process leave no process and no mount; `stop`, also no file and no cgroup.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Daemon } from '../local/daemon.ts';
import { waitFor } from '../local/wait-for.ts';
import { programPath } from './binaries.ts';
import { makeCgroups, removeCgroups } from './cgroups.ts';
import type { ControlPlane } from './control-plane.ts';
import { programFiles, writeImage } from './image.ts';
import { containerdConfig, kubeletConfig, KUBELET_HEALTH_PORT } from './node-config.ts';
import { writeKubeconfig } from './pki.ts';
import { answers, familyOf, rigProcess, waitUntilReady, type ProcessSeen } from './rig-process.ts';

const run = promisify(execFile);
const READY_PATIENCE_MS = 90_000;
const FREEZE_PATIENCE_MS = 10_000;
const LOG_LINE_CHARS_MAX = 300;
const OVERLAYFS_MAGIC = 0x794c7630;
const SANDBOX_IMAGE = 'localhost/sandbox:1';

interface NodeObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

export interface ClusterNodeOptions {
  /** 1 to 200, one for each node of a control plane. */
  readonly index?: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** More flags for kubelet. */
  readonly kubeletFlags?: readonly string[];
}

export class ClusterNode {
  /** "127.N.1.INDEX": the Node object's name too, since kubelet takes a loopback address in no other way. */
  readonly name: string;
  readonly folder: string;
  readonly #plane: ControlPlane;
  readonly #cgroup: string;
  /** First three numbers of its pods' addresses: "127.N.INDEX+1". */
  readonly #podSubnet: string;
  readonly #init: Daemon;

  private constructor(plane: ControlPlane, options: ClusterNodeOptions) {
    const index = options.index ?? 1;
    this.#plane = plane;
    this.name = `${plane.place.subnet}.1.${index}`;
    this.folder = join(plane.place.folder, `node-${index}`);
    this.#podSubnet = `${plane.place.subnet}.${index + 1}`;
    this.#cgroup = `${plane.place.name}/${index}`;
    const labels = Object.entries(options.labels ?? {}).map(([key, value]) => `${key}=${value}`);
    const kubelet = [
      programPath('kubelet'),
      `--kubeconfig=${join(this.folder, 'kubeconfig')}`,
      `--config=${join(this.folder, 'kubelet.json')}`,
      `--hostname-override=${this.name}`,
      `--node-labels=${labels.join(',')}`,
      '--runtime-cgroups=/',
      '--kubelet-cgroups=/',
      ...(options.kubeletFlags ?? []),
    ];
    const namespaces = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const init = ['sh', resolve(import.meta.dirname, 'node-init.sh'), this.folder, 'containerd', ...kubelet];
    this.#init = rigProcess(`node-${index}`, plane.place.folder, [...namespaces, ...init]);
  }

  /** Resolves when the node is Ready. */
  static async start(plane: ControlPlane, options: ClusterNodeOptions = {}): Promise<ClusterNode> {
    const node = new ClusterNode(plane, options);
    if (existsSync(node.folder))
      throw new Error(`cannot start node ${node.name}: it exists already; give each node its own index`);
    mkdirSync(node.folder);
    plane.beforeStop(() => node.#remove());
    try {
      await node.#prepare();
      await node.boot();
      return node;
    } catch (error) {
      await node.#remove();
      throw error;
    }
  }

  get isRunning(): boolean {
    return this.#init.isRunning;
  }

  /** Puts an image into the node's store. `archive`: a file that writeImage() wrote. */
  async loadImage(archive: string): Promise<void> {
    await this.#ctr('images', 'import', archive);
  }

  /** The power goes: every process of the node dies at once, its disk stays, its Node object too. */
  async powerOff(): Promise<void> {
    // The init's death ends its namespace, and unshare returns only when all of it is gone.
    const init = this.#initPid();
    if (init === null) await this.#init.kill();
    else process.kill(init, 'SIGKILL');
    await this.#init.exited;
    await removeCgroups(this.#cgroup);
  }

  /**
   * The node falls silent: each of its processes stops where it is, says no goodbye and closes nothing, until thaw(). It shares the machine's
   * kernel: whoever needs an answer of it meanwhile (`sync`, `df`, and `losetup -a` where one of its pods serves a file system) waits, too.
   */
  async freeze(): Promise<void> {
    const told = new Set<number>();
    await waitFor(`node ${this.name} to stand still`, FREEZE_PATIENCE_MS, () => {
      // What waits in the kernel stops when it comes out of it.
      const moving = this.processes().filter(({ pid, state }) => state !== 'T' && !(state === 'D' && told.has(pid)));
      for (const { pid } of moving) {
        told.add(pid);
        tell(pid, 'SIGSTOP');
      }
      return Promise.resolve(moving.length === 0 || null);
    });
  }

  /** All go on where they were stopped. */
  thaw(): void {
    for (const { pid } of this.processes()) tell(pid, 'SIGCONT');
  }

  /** All that run on the node, by their ids on this machine: containerd, kubelet, pods. */
  processes(): readonly ProcessSeen[] {
    const init = this.#initPid();
    return init === null ? [] : familyOf(init);
  }

  /** Starts the node, for the first time or again with its disk. */
  async boot(): Promise<void> {
    rmSync(join(this.folder, 'run'), { recursive: true, force: true });
    for (const place of ['run', 'var/lib', 'var/log', 'cni']) mkdirSync(join(this.folder, place), { recursive: true });
    makeCgroups(this.#cgroup);
    this.#init.start();
    try {
      await waitUntilReady(this.#init, READY_PATIENCE_MS, () => this.#ctr('version').then(() => true));
      await this.loadImage(this.#sandboxArchive);
      await waitUntilReady(this.#init, READY_PATIENCE_MS, () =>
        answers(`http://${this.name}:${KUBELET_HEALTH_PORT}/healthz`, null),
      );
      await waitFor(`node ${this.name} to be Ready`, READY_PATIENCE_MS, async () => ((await this.#isReady()) ? true : null));
    } catch (error) {
      throw new Error(`cannot start node ${this.name}; its programs said:\n${this.logTail()}`, { cause: error });
    }
  }

  /** Ends the node and removes everything of it, its Node object too. The end of its control plane does the same. */
  async stop(): Promise<void> {
    await this.#remove();
    await this.#plane.kubectl('delete', 'node', this.name, '--ignore-not-found');
  }

  /** The last lines of its programs' logs. */
  logTail(lines = 15): string {
    const tails = ['containerd', 'kubelet'].map((program) => {
      const file = join(this.folder, `${program}.log`);
      const text = existsSync(file) ? readFileSync(file, 'utf8').trimEnd() : '(not started)';
      const tail = text.split('\n').slice(-lines);
      return `${program}: ${tail.map((line) => line.slice(0, LOG_LINE_CHARS_MAX)).join('\n')}`;
    });
    return tails.join('\n');
  }

  async #prepare(): Promise<void> {
    const { pki, url, place } = this.#plane;
    const user = await pki.issue(`node-${this.name}`, `/O=system:nodes/CN=system:node:${this.name}`);
    writeKubeconfig(join(this.folder, 'kubeconfig'), url, pki.authority, user);
    // An overlay cannot lie on another one.
    const snapshotter = statfsSync(place.folder).type === OVERLAYFS_MAGIC ? 'native' : 'overlayfs';
    const network = { cniVersion: '0.4.0', name: 'machine', plugins: [{ type: 'machine-loopback', subnet: this.#podSubnet }] };
    mkdirSync(join(this.folder, 'cni'));
    writeFileSync(join(this.folder, 'cni/10-machine.conflist'), JSON.stringify(network));
    const config = containerdConfig({ address: this.name, folder: this.folder, sandboxImage: SANDBOX_IMAGE, snapshotter });
    writeFileSync(join(this.folder, 'containerd.toml'), config);
    const { dnsAddress } = this.#plane;
    const resolverFile = join(this.folder, 'resolv.conf');
    writeFileSync(resolverFile, `nameserver ${dnsAddress}\nsearch svc.cluster.local cluster.local\n`);
    const kubelet = kubeletConfig({ address: this.name, cgroupRoot: `/${this.#cgroup}`, dnsAddress, resolverFile });
    writeFileSync(join(this.folder, 'kubelet.json'), JSON.stringify(kubelet, null, 2));
    if (existsSync(this.#sandboxArchive)) return;
    const files = programFiles('/bin/sleep');
    writeImage({ file: this.#sandboxArchive, name: SANDBOX_IMAGE, files, entrypoint: ['/bin/sleep', 'infinity'] });
  }

  async #remove(): Promise<void> {
    if (this.#init.isRunning) await this.powerOff();
    await removeCgroups(this.#cgroup);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #isReady(): Promise<boolean> {
    const node = (await this.#plane.find(`node/${this.name}`)) as NodeObject | null;
    return node?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  }

  async #ctr(...args: string[]): Promise<void> {
    await run('ctr', ['--address', join(this.folder, 'run/containerd/containerd.sock'), '--namespace', 'k8s.io', ...args]);
  }

  /** The process id, here, of the node's first process: unshare's only child. */
  #initPid(): number | null {
    const { pid } = this.#init;
    const file = `/proc/${pid}/task/${pid}/children`;
    const child = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
    return child === 0 ? null : child;
  }

  get #sandboxArchive(): string {
    return join(this.#plane.place.folder, 'sandbox-image.tar');
  }
}

function tell(pid: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

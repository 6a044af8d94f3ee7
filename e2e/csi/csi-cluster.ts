// A cluster of child processes with a CSI driver on it: conductor, three stores, and nodes: each with its pfnbd and its driver, of which the
// first one's has the controller, too. Used by `make csi-serve` and the suites of this folder. Unix sockets have short paths: so must the folder.
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { AttachClient } from '@pureflash/datapath/attach';
import type { World } from '@pureflash/datapath/world';
import { Walker } from '../../csi/src/walker.ts';
import { Daemon } from '../local/daemon.ts';
import { LocalCluster } from '../local/local-cluster.ts';
import { waitFor } from '../local/wait-for.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PATIENCE_MS = 30_000;

export interface CsiClusterOptions {
  readonly folder: string;
  readonly subnet: string;
  /** Default: below the folder. */
  readonly socketPath?: string;
  /** Directories below which volumes may be mounted; default: the node's own. */
  readonly kubeletFolders?: readonly string[];
}

/** A cluster as its nodes need it. */
export interface ClusterAtHand {
  readonly folder: string;
  readonly conductorAddress: string;
  pfcli(...words: string[]): Promise<unknown>;
}

/** What a machine that uses volumes runs: pfnbd, and the driver. */
export class CsiNode {
  readonly id: string;
  readonly pfnbd: Daemon;
  readonly driver: Daemon;
  readonly socketPath: string;
  readonly pfnbdSocket: string;
  /** Below it volumes may be mounted. */
  readonly kubeletFolder: string;
  readonly #cluster: ClusterAtHand;

  constructor(cluster: ClusterAtHand, id: string, options: { readonly mode: 'node' | 'all' } & Partial<CsiClusterOptions>) {
    const folder = options.folder ?? join(cluster.folder, id);
    const { conductorAddress } = cluster;
    this.#cluster = cluster;
    this.id = id;
    this.kubeletFolder = join(folder, 'kubelet');
    this.socketPath = options.socketPath ?? join(folder, 'csi.sock');
    this.pfnbdSocket = join(folder, 'pfnbd/s');
    const kubeletFolders = options.kubeletFolders ?? [this.kubeletFolder];
    for (const each of [this.kubeletFolder, ...kubeletFolders]) mkdirSync(each, { recursive: true });
    this.pfnbd = daemonOf(folder, 'pfnbd', 'datapath/bin/pfnbd', {
      node: id,
      conductor: conductorAddress,
      socket: this.pfnbdSocket,
      state: join(folder, 'pfnbd/state'),
      run: join(folder, 'pfnbd/run'),
    });
    const flags = { mode: options.mode, socket: this.socketPath, node: id, pfnbd: this.pfnbdSocket, state: join(folder, 'csi') };
    const ofController: Record<string, string> = options.mode === 'all' ? { conductor: conductorAddress } : {};
    const kubelet = kubeletFolders.flatMap((each) => ['--kubelet', each]);
    this.driver = daemonOf(folder, 'csi', 'csi/bin/csi', { ...flags, ...ofController }, kubelet);
  }

  /** Starts what does not run, and waits until it serves and the cluster knows the node. */
  async start(): Promise<void> {
    for (const daemon of [this.pfnbd, this.driver]) {
      if (!daemon.isRunning) daemon.start();
      await this.untilServing(daemon);
    }
    await waitFor(`node ${this.id} to be known`, PATIENCE_MS, async () => {
      const nodes = (await this.#cluster.pfcli('list_node')) as readonly { name: string }[];
      return nodes.some(({ name }) => name === this.id) ? true : null;
    });
  }

  /** The latest start of the daemon serves. */
  async untilServing(daemon: Daemon): Promise<void> {
    await waitFor(`${daemon.name} to serve`, PATIENCE_MS, async () => {
      if (daemon.hasDied) throw new Error(`${daemon.name} ended; its log says:\n${daemon.logTail()}`);
      return (await canConnect(daemon === this.pfnbd ? this.pfnbdSocket : this.socketPath)) ? true : null;
    });
  }

  /** pfnbd, as the driver asks it. */
  attacher(world: World): AttachClient {
    return new AttachClient(world, this.pfnbdSocket);
  }

  /** Plays kubelet on this node. */
  walker(world: World, controllerSocketPath = this.socketPath): Walker {
    const { clock, files } = world;
    const { id: nodeId, socketPath, kubeletFolder } = this;
    return new Walker({ clock, files, socketPath, controllerSocketPath, nodeId, kubeletFolder });
  }

  async stop(): Promise<void> {
    if (this.driver.isRunning) await this.driver.stop();
    if (this.pfnbd.isRunning) await this.pfnbd.stop();
  }
}

export class CsiCluster {
  readonly cluster: LocalCluster;
  /** Its driver has the controller, too. */
  readonly node: CsiNode;
  readonly #others: CsiNode[] = [];

  constructor({ folder, subnet, ...options }: CsiClusterOptions) {
    this.cluster = new LocalCluster({ folder, subnet });
    this.node = new CsiNode(this.cluster, 'node-1', { mode: 'all', ...options });
  }

  async start(): Promise<void> {
    await this.cluster.start();
    await this.node.start();
  }

  /** One more machine that uses volumes, with a kernel that it shares with the first one. */
  async addNode(id: string): Promise<CsiNode> {
    const node = new CsiNode(this.cluster, id, { mode: 'node' });
    this.#others.push(node);
    await node.start();
    return node;
  }

  async stop(): Promise<void> {
    for (const node of [...this.#others, this.node]) await node.stop();
    await this.cluster.stop();
  }
}

function daemonOf(
  folder: string,
  name: string,
  program: string,
  flags: Readonly<Record<string, string>>,
  further: readonly string[] = [],
): Daemon {
  mkdirSync(folder, { recursive: true });
  const words = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  return new Daemon(name, folder, [join(ROOT, program), ...words, ...further]);
}

export function canConnect(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

// A cluster of child processes with a CSI driver on it: conductor, three stores, this machine's pfnbd, and the driver with controller and
// node behind one socket. Used by `make csi-serve` and the suites of this folder. Unix sockets have short paths: so must the folder.
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { AttachClient } from '@pureflash/datapath/attach';
import type { World } from '@pureflash/datapath/world';
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
  readonly nodeId?: string;
  /** Directories below which volumes may be mounted; default: the folder's own. */
  readonly kubeletFolders?: readonly string[];
}

export class CsiCluster {
  readonly cluster: LocalCluster;
  readonly pfnbd: Daemon;
  readonly driver: Daemon;
  readonly folder: string;
  readonly socketPath: string;
  readonly pfnbdSocket: string;
  readonly nodeId: string;
  /** Below it volumes may be mounted. */
  readonly kubeletFolder: string;

  constructor(options: CsiClusterOptions) {
    this.folder = resolve(options.folder);
    this.nodeId = options.nodeId ?? 'node-1';
    this.kubeletFolder = join(this.folder, 'kubelet');
    this.socketPath = options.socketPath ?? join(this.folder, 'csi.sock');
    this.pfnbdSocket = join(this.folder, 'pfnbd/s');
    const kubeletFolders = options.kubeletFolders ?? [this.kubeletFolder];
    for (const folder of [this.kubeletFolder, ...kubeletFolders]) mkdirSync(folder, { recursive: true });
    this.cluster = new LocalCluster({ folder: this.folder, subnet: options.subnet });
    const { conductorAddress } = this.cluster;
    this.pfnbd = this.#daemon('pfnbd', 'datapath/bin/pfnbd', {
      node: this.nodeId,
      conductor: conductorAddress,
      socket: this.pfnbdSocket,
      state: join(this.folder, 'pfnbd/state'),
      run: join(this.folder, 'pfnbd/run'),
    });
    this.driver = this.#daemon(
      'csi',
      'csi/bin/csi',
      {
        mode: 'all',
        socket: this.socketPath,
        node: this.nodeId,
        conductor: conductorAddress,
        pfnbd: this.pfnbdSocket,
        state: join(this.folder, 'csi'),
      },
      kubeletFolders.flatMap((folder) => ['--kubelet', folder]),
    );
  }

  /** Starts what does not run, and waits until the driver says that it serves and the cluster knows the node. */
  async start(): Promise<void> {
    await this.cluster.start();
    for (const daemon of [this.pfnbd, this.driver]) if (!daemon.isRunning) daemon.start();
    for (const daemon of [this.pfnbd, this.driver]) await this.untilServing(daemon);
    await waitFor(`node ${this.nodeId} to be known`, PATIENCE_MS, async () => {
      const nodes = (await this.cluster.pfcli('list_node')) as readonly { name: string }[];
      return nodes.some(({ name }) => name === this.nodeId) ? true : null;
    });
  }

  /** The latest start of the daemon has said that it serves. */
  async untilServing(daemon: Daemon): Promise<void> {
    await waitFor(`${daemon.name} to serve`, PATIENCE_MS, async () => {
      if (daemon.hasDied) throw new Error(`${daemon.name} ended; its log says:\n${daemon.logTail()}`);
      const socketPath = daemon === this.pfnbd ? this.pfnbdSocket : this.socketPath;
      return (await canConnect(socketPath)) ? true : null;
    });
  }

  /** pfnbd, as the driver asks it. */
  attacher(world: World): AttachClient {
    return new AttachClient(world, this.pfnbdSocket);
  }

  async stop(): Promise<void> {
    if (this.driver.isRunning) await this.driver.stop();
    if (this.pfnbd.isRunning) await this.pfnbd.stop();
    await this.cluster.stop();
  }

  #daemon(name: string, program: string, flags: Readonly<Record<string, string>>, further: readonly string[] = []): Daemon {
    const words = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
    return new Daemon(name, this.folder, [join(ROOT, program), ...words, ...further]);
  }
}

function canConnect(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

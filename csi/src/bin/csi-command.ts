// The driver's command line, and what it means. Apart from its main file, which only starts and ends.
import { PfError } from '@pureflash/datapath/base';
import type { CommandSpec, FlagValues } from '@pureflash/datapath/cli';
import { DRIVER_NAME } from '../identity.ts';
import type { DriverSettings } from '../driver.ts';

export const CSI_COMMAND = {
  name: 'pureflash-csi',
  summary: 'The CSI driver: volumes of a PureFlash cluster for whoever speaks CSI, such as Kubernetes.',
  flags: {
    mode: {
      kind: 'string',
      help: 'which services it has: those of the cluster, those of this machine, or both',
      choices: ['controller', 'node', 'all'],
      isRequired: true,
    },
    socket: { kind: 'string', help: 'unix socket of the driver', placeholder: 'PATH', isRequired: true },
    conductor: { kind: 'list', help: 'controller: address of a conductor; repeatable', placeholder: 'HOST:PORT' },
    cluster: { kind: 'string', help: "controller: the cluster's name", placeholder: 'NAME', default: 'pureflash' },
    replicas: { kind: 'integer', help: 'controller: replicas where a class says nothing', minimum: 1, maximum: 3, default: 3 },
    tokenFile: { kind: 'string', help: "file with the token of the cluster's HTTP interfaces", placeholder: 'PATH' },
    node: { kind: 'string', help: 'node: by which name the cluster knows this machine', placeholder: 'NAME' },
    pfnbd: { kind: 'string', help: 'node: socket of pfnbd', placeholder: 'PATH', default: '/run/pureflash/pfnbd/pfnbd.sock' },
    state: { kind: 'string', help: 'node: folder for what is staged', placeholder: 'DIR', default: '/var/lib/pureflash/csi' },
    kubelet: {
      kind: 'list',
      help: 'node: directory of kubelet, below which volumes are mounted; repeatable; default /var/lib/kubelet',
      placeholder: 'DIR',
    },
    maxVolumes: {
      kind: 'integer',
      help: 'node: as many volumes fit on it; 0: no limit is claimed',
      minimum: 0,
      maximum: 4096,
      default: 0,
    },
    register: { kind: 'string', help: "node: kubelet's folder of plugin sockets, to be made known there", placeholder: 'DIR' },
    registerAs: {
      kind: 'string',
      help: `node: the path of the driver's socket as kubelet sees it; default: --socket`,
      placeholder: 'PATH',
    },
    logLevel: { kind: 'string', help: 'what to log', choices: ['debug', 'info', 'warn', 'error'], default: 'info' },
  },
  examples: [
    `pureflash-csi --mode controller --socket /csi/csi.sock --conductor 10.0.0.1:49180`,
    `pureflash-csi --mode node --node node-1 --socket /var/lib/kubelet/plugins/${DRIVER_NAME}/csi.sock --register /var/lib/kubelet/plugins_registry`,
  ],
} as const satisfies CommandSpec;

export type CsiFlags = FlagValues<(typeof CSI_COMMAND)['flags']>;

/** Error INVALID_ARGUMENT for what a mode misses. */
export function settingsOf(flags: CsiFlags): DriverSettings {
  const { mode, socket: socketPath } = flags;
  return {
    socketPath,
    controller: mode === 'node' ? null : controllerOf(flags),
    node: mode === 'controller' ? null : nodeOf(flags),
  };
}

function controllerOf({ mode, conductor, cluster, replicas }: CsiFlags) {
  if (conductor.length === 0) throw missing('conductor', mode);
  return { conductors: conductor, clusterName: cluster, replicaCount: replicas };
}

function nodeOf(flags: CsiFlags) {
  const { node, register } = flags;
  if (node === undefined) throw missing('node', flags.mode);
  const registration = register === undefined ? null : { folder: register, endpoint: flags.registerAs ?? flags.socket };
  return {
    nodeId: node,
    pfnbdSocket: flags.pfnbd,
    stateFolder: flags.state,
    kubeletFolders: flags.kubelet.length > 0 ? flags.kubelet : ['/var/lib/kubelet'],
    maxVolumes: flags.maxVolumes,
    registration,
  };
}

const missing = (flag: string, mode: string): PfError =>
  new PfError('INVALID_ARGUMENT', `flag --${flag} is missing: mode "${mode}" wants it`);

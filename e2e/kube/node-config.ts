// What containerd and kubelet are told on a node of the rig. Called by cluster-node.ts. Paths are as the node sees them.
import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

export const KUBELET_PORT = 10_250;
export const KUBELET_HEALTH_PORT = 10_248;
const STREAM_PORT = 10_010;
/** Our own plugins, in place of the system's. */
const PLUGINS_FOLDER = resolve(import.meta.dirname, 'cni');
const UNUSED_PLUGINS = [
  ...['btrfs', 'zfs', 'devmapper', 'aufs'].map((name) => `io.containerd.snapshotter.v1.${name}`),
  'io.containerd.internal.v1.opt',
];

export interface ContainerdOptions {
  readonly address: string;
  readonly folder: string;
  readonly sandboxImage: string;
  readonly snapshotter: 'overlayfs' | 'native';
}

export function containerdConfig({ address, folder, sandboxImage, snapshotter }: ContainerdOptions): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  const sections: Readonly<Record<string, Readonly<Record<string, string | boolean>>>> = {
    grpc: { address: '/run/containerd/containerd.sock' },
    [cri]: {
      stream_server_address: address,
      stream_server_port: String(STREAM_PORT),
      // Containers of the machine's own containers may not become harder to kill.
      restrict_oom_score_adj: true,
      disable_apparmor: true,
      sandbox_image: sandboxImage,
    },
    [`${cri}.containerd`]: { snapshotter, default_runtime_name: 'runc' },
    [`${cri}.containerd.runtimes.runc`]: { runtime_type: 'io.containerd.runc.v2' },
    [`${cri}.containerd.runtimes.runc.options`]: { BinaryName: commandPath('runc') },
    [`${cri}.cni`]: { bin_dir: PLUGINS_FOLDER, conf_dir: join(folder, 'cni') },
  };
  const lines = ['version = 2', 'oom_score = 0', `disabled_plugins = ${JSON.stringify(UNUSED_PLUGINS)}`];
  for (const [name, values] of Object.entries(sections)) {
    lines.push(`[${name}]`, ...Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`));
  }
  return `${lines.join('\n')}\n`;
}

export interface KubeletOptions {
  readonly address: string;
  readonly cgroupRoot: string;
  readonly dnsAddress: string;
  /** What pods with dnsPolicy Default get as resolv.conf. */
  readonly resolverFile: string;
}

/** Anybody on this machine may ask this kubelet: it listens on a loopback address, for as long as the tests take. */
export function kubeletConfig({ address, cgroupRoot, dnsAddress, resolverFile }: KubeletOptions): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address,
    port: KUBELET_PORT,
    healthzBindAddress: address,
    healthzPort: KUBELET_HEALTH_PORT,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver: 'cgroupfs',
    cgroupRoot,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    // The machine belongs to others too: only a real shortage counts.
    evictionHard: { 'memory.available': '1Mi' },
    imageGCHighThresholdPercent: 100,
    makeIPTablesUtilChains: false,
    clusterDNS: [dnsAddress],
    clusterDomain: 'cluster.local',
    resolvConf: resolverFile,
    nodeStatusUpdateFrequency: '2s',
    syncFrequency: '2s',
    fileCheckFrequency: '2s',
    shutdownGracePeriod: '0s',
  };
}

function commandPath(name: string): string {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const found = folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false; // The next folder may have it.
      }
    });
  return found ?? name;
}

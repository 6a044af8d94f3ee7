// One store on one node: a StatefulSet of one pod that can be nowhere else.
import { API_VERSION } from '../api/crd.ts';
import type { KubeObject } from '../api/objects.ts';
import type { StoreInstance, Wanted } from '../plan/cluster-plan.ts';
import {
  configName,
  DOMAIN_LABEL,
  labelValue,
  NODE_LABEL,
  owned,
  REVISION_ANNOTATION,
  selectorOf,
  storeName,
  storeResourceName,
  storesName,
  type ClusterFrame,
} from './cluster-frame.ts';
import { CONFIG_FOLDER, daemonPod, listenAddress, TOKEN_FLAG } from './daemon-pod.ts';

export function storeSet(frame: ClusterFrame, { instance, revision }: Wanted<StoreInstance>): KubeObject {
  const { spec, hash } = frame;
  const labels = { ...selectorOf(frame, 'store'), [NODE_LABEL]: labelValue(hash, instance.node) };
  const podLabels = { ...labels, [DOMAIN_LABEL]: labelValue(hash, instance.failureDomain) };
  const { mounts, volumes, isPrivileged } = diskAccess(instance);
  const pod = daemonPod(frame, {
    program: 'pfstore',
    args: argumentsOf(instance),
    image: instance.image,
    port: { name: 'management', number: instance.managementPort },
    resources: spec.stores.resources,
    isPrivileged,
    mounts,
    node: instance.node,
    tolerations: spec.stores.tolerations ?? [],
    volumes,
    configName: configName(frame),
  });
  const annotations = { [REVISION_ANNOTATION]: revision, [NODE_LABEL]: instance.node };
  const parts = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    name: storeName(frame, instance.node),
    component: 'store',
    annotations,
  } as const;
  return owned(
    frame,
    { ...parts, labels: podLabels },
    {
      spec: {
        replicas: 1,
        serviceName: storesName(frame),
        selector: { matchLabels: labels },
        template: { metadata: { labels: podLabels, annotations }, spec: pod },
      },
    },
  );
}

function argumentsOf(instance: StoreInstance): readonly string[] {
  return [
    '--config',
    `${CONFIG_FOLDER}/store.json`,
    '--watch-config',
    ...TOKEN_FLAG,
    ...instance.disks.flatMap((disk) => ['--disk', disk.sizeBytes === null ? disk.path : `${disk.path}=${disk.sizeBytes}`]),
    ...instance.erase.flatMap((path) => ['--erase', path]),
    '--host',
    instance.failureDomain,
    '--data',
    listenAddress(instance.address, instance.dataPort),
    '--http',
    listenAddress(instance.address, instance.managementPort),
    ...(instance.clientNetwork === undefined ? [] : ['--client-network', instance.clientNetwork]),
    ...(instance.replicationNetwork === undefined ? [] : ['--replication-network', instance.replicationNetwork]),
    ...instance.conductors.flatMap((address) => ['--conductor', address]),
    ...(instance.servesLegacyClients ? ['--legacy-clients'] : []),
  ];
}

/** Files need their folders and nothing else; devices need the host's /dev and the right to open them. */
function diskAccess(instance: StoreInstance): { mounts: object[]; volumes: object[]; isPrivileged: boolean } {
  const folders = [...new Set(instance.disks.map((disk) => (disk.sizeBytes === null ? '/dev' : folderOf(disk.path))))];
  return {
    mounts: folders.map((path, index) => ({ name: `disks-${index}`, mountPath: path })),
    volumes: folders.map((path, index) => ({
      name: `disks-${index}`,
      hostPath: { path, type: path === '/dev' ? 'Directory' : 'DirectoryOrCreate' },
    })),
    isPrivileged: folders.includes('/dev'),
  };
}

const folderOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')));

/** The Store resource of a node: made with the first look at its devices. */
export function storeResource(frame: ClusterFrame, node: string): KubeObject {
  return owned(
    frame,
    {
      apiVersion: API_VERSION,
      kind: 'Store',
      name: storeResourceName(frame, node),
      component: 'store',
      labels: { [NODE_LABEL]: labelValue(frame.hash, node) },
    },
    { spec: { clusterName: frame.name, nodeName: node } },
  );
}

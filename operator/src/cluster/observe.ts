// From Kubernetes objects to the view that a plan is made from. Pure: caches and the conductor's answer go in.
import type { KubeObject, Resource } from '../api/objects.ts';
import type { StorageClusterSpec, StorageClusterStatus } from '../api/v1alpha1/storage-cluster.ts';
import type { StoreSpec, StoreStatus } from '../api/v1alpha1/store.ts';
import { API_VERSION } from '../api/crd.ts';
import {
  CLUSTER_LABEL,
  conductorName,
  NODE_LABEL,
  REVISION_ANNOTATION,
  selectorOf,
  serversName,
  serverVolumeName,
  stateVolumeName,
  type ClusterFrame,
} from '../manifests/builders.ts';
import type { ServerKind } from '../plan/cluster-plan.ts';
import type { ClusterView, ControlView, Discovery, NodeView, ServersView, WorkloadView } from '../plan/view.ts';
import type { Inventory } from '../runtime/inventory.ts';
import { observeCsi } from './observe-csi.ts';
import { isPodReady } from './pod-ready.ts';

export type StorageCluster = Resource<StorageClusterSpec, StorageClusterStatus>;
export type StoreResource = Resource<StoreSpec, StoreStatus>;

export interface Times {
  readonly nowMs: number;
  /** Milliseconds since 1970 of an RFC 3339 time. */
  parse(text: string): number;
}

export function observe(
  cluster: StorageCluster,
  frame: ClusterFrame,
  inventory: Inventory,
  control: ControlView | null,
  times: Times,
): ClusterView {
  const { metadata, spec, status } = cluster;
  const namespace = frame.namespace;
  const stores = new Map<string, WorkloadView>();
  const discovery = new Map<string, Discovery>();
  const storeUuids = new Map<string, string>();
  const sets = inventory.list('apps/v1', 'StatefulSet', namespace, selectorOf(frame, 'store'));
  const pods = inventory.list('v1', 'Pod', namespace, { [CLUSTER_LABEL_OF_PODS]: frame.name });
  for (const set of sets) {
    const node = set.metadata.annotations?.[NODE_LABEL];
    if (node !== undefined) stores.set(node, workloadOf(set, podOf(pods, `${set.metadata.name}-0`)));
  }
  const resources = inventory.list(API_VERSION, 'Store', namespace, { [CLUSTER_LABEL]: frame.name }) as readonly StoreResource[];
  for (const { spec: store, status: found } of resources) {
    if (found?.discovery !== undefined) discovery.set(store.nodeName, found.discovery);
    if (found?.storeUuid !== undefined) storeUuids.set(store.nodeName, found.storeUuid);
  }
  const conductors = new Map<number, WorkloadView>();
  const set = inventory.get({ apiVersion: 'apps/v1', kind: 'StatefulSet', namespace, name: conductorName(frame) });
  for (let ordinal = 0; set !== null && ordinal < replicasOf(set); ordinal += 1) {
    conductors.set(ordinal, workloadOf(set, podOf(pods, `${set.metadata.name}-${ordinal}`)));
  }
  return {
    nowMs: times.nowMs,
    name: frame.name,
    namespace,
    spec,
    maintenanceEndMs: spec.maintenance === undefined ? null : times.parse(spec.maintenance.until),
    isDeleting: metadata.deletionTimestamp !== undefined,
    isRemoving: status?.conditions?.some((each) => each.type === 'Deletable' && each.status === 'True') === true,
    wasMade: status?.clusterUuid !== undefined || control !== null,
    nodes: inventory.list('v1', 'Node', null, {}).map(nodeOf),
    discovery,
    storeUuids,
    conductorNodes: nodesOfVolumes(inventory, (ordinal) => stateVolumeName(frame, ordinal), spec.conductors.count),
    storeNodes: [...stores.keys()],
    conductors,
    stores,
    zookeeper: serversOf(frame, inventory, pods, 'zookeeper'),
    mariadb: serversOf(frame, inventory, pods, 'mariadb'),
    csi: observeCsi(frame, inventory, pods),
    control,
  };
}

function serversOf(frame: ClusterFrame, inventory: Inventory, pods: readonly KubeObject[], kind: ServerKind): ServersView {
  const { namespace } = frame;
  const name = serversName(frame, kind);
  const set = inventory.get({ apiVersion: 'apps/v1', kind: 'StatefulSet', namespace, name });
  const members = new Map<number, WorkloadView>();
  for (let ordinal = 0; set !== null && ordinal < replicasOf(set); ordinal += 1)
    members.set(ordinal, workloadOf(set, podOf(pods, `${name}-${ordinal}`)));
  const files = inventory.get({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name })?.['data'] as
    | { founding?: string }
    | undefined;
  const nodes = nodesOfVolumes(inventory, (ordinal) => serverVolumeName(frame, kind, ordinal), MAX_SERVERS);
  return { nodes, members, wasFounded: files?.founding?.trim() === 'done' };
}

const MAX_SERVERS = 5;
const CLUSTER_LABEL_OF_PODS = 'app.kubernetes.io/instance';

/** Volumes say where a conductor's or a server's state lies: they outlive every status. */
function nodesOfVolumes(inventory: Inventory, nameOf: (ordinal: number) => string, count: number): (string | null)[] {
  return Array.from({ length: count }, (_, ordinal) => {
    const volume = inventory.get({ apiVersion: 'v1', kind: 'PersistentVolume', name: nameOf(ordinal) });
    return volume === null ? null : nodeOfVolume(volume);
  });
}

function nodeOfVolume(volume: KubeObject): string {
  const { nodeAffinity } = volume['spec'] as {
    nodeAffinity: { required: { nodeSelectorTerms: { matchExpressions: { values: string[] }[] }[] } };
  };
  return nodeAffinity.required.nodeSelectorTerms[0]!.matchExpressions[0]!.values[0]!;
}

export function nodeOf(node: KubeObject): NodeView {
  const { metadata } = node;
  const spec = node['spec'] as { unschedulable?: boolean } | undefined;
  const status = node['status'] as
    | { addresses?: { type: string; address: string }[]; conditions?: { type: string; status: string }[] }
    | undefined;
  const address = status?.addresses?.find((each) => each.type === 'InternalIP')?.address ?? '';
  return {
    name: metadata.name,
    address,
    labels: metadata.labels ?? {},
    isReady: address !== '' && status?.conditions?.find((each) => each.type === 'Ready')?.status === 'True',
    isSchedulable: spec?.unschedulable !== true,
  };
}

function workloadOf(set: KubeObject, pod: KubeObject | null): WorkloadView {
  const revision = set.metadata.annotations?.[REVISION_ANNOTATION] ?? '';
  const template = (set['spec'] as { template: { spec: { containers: { image: string }[] } } }).template;
  return {
    revision,
    image: template.spec.containers[0]!.image,
    isReady: pod !== null && isPodReady(pod),
    isCurrent: pod?.metadata.annotations?.[REVISION_ANNOTATION] === revision,
  };
}

const podOf = (pods: readonly KubeObject[], name: string): KubeObject | null =>
  pods.find((pod) => pod.metadata.name === name) ?? null;

const replicasOf = (set: KubeObject): number => (set['spec'] as { replicas?: number }).replicas ?? 1;

// Views written down by hand, for tests of the plan: a cluster of three nodes, told in few words.
import { parse } from '../../api/validate.ts';
import { STORAGE_CLUSTER } from '../../api/v1alpha1/kinds.ts';
import type { StorageClusterSpec } from '../../api/v1alpha1/storage-cluster.ts';
import type { Json, JsonObject } from '@pureflash/datapath/base';
import type { ClusterPlan } from '../cluster-plan.ts';
import {
  NO_CSI,
  NO_SERVERS,
  type ClusterView,
  type ControlView,
  type NodeSetView,
  type NodeView,
  type ServersView,
  type WorkloadView,
} from '../view.ts';

/** Not a hash at all: tests read it. */
export const plainHash = (text: string): string => {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0').repeat(2);
};

export function specOf(patch: JsonObject = {}): StorageClusterSpec {
  const base: JsonObject = {
    image: 'localhost/pureflash:1.2.0',
    stores: { devices: { files: [{ path: '/var/lib/pureflash/disk.img', size: '8Gi' }] } },
  };
  return parse(STORAGE_CLUSTER.spec, { ...base, ...patch } as Json, 'spec') as StorageClusterSpec;
}

export function nodeOf(number: number, patch: Partial<NodeView> = {}): NodeView {
  const name = `n${number}`;
  return {
    name,
    address: `10.0.0.${number}`,
    labels: { 'kubernetes.io/hostname': name, rack: `r${number}` },
    isReady: true,
    isSchedulable: true,
    ...patch,
  };
}

export function controlOf(nodes: readonly number[], patch: Partial<ControlView> = {}): ControlView {
  return {
    clusterUuid: 'c1',
    version: '1.2.0',
    stores: nodes.map((number) => ({
      id: number,
      uuid: `s${number}`,
      domain: `n${number}`,
      dataAddress: `10.0.0.${number}:49162`,
      managementAddress: `10.0.0.${number}:49181`,
      isOnline: true,
      version: '1.2.0',
      disks: [{ uuid: `d${number}`, device: '/var/lib/pureflash/disk.img', isHealthy: true, capacity: 100, free: 90 }],
    })),
    volumeCount: 1,
    attachedCount: 0,
    degraded: [],
    degradedCount: 0,
    ...patch,
  };
}

/** A cluster that has just been applied: three nodes and nothing else. */
export function viewOf(patch: Partial<ClusterView> = {}): ClusterView {
  return {
    nowMs: 1_000_000,
    name: 'demo',
    namespace: 'storage',
    spec: specOf(),
    maintenanceEndMs: null,
    isDeleting: false,
    isRemoving: false,
    wasMade: false,
    nodes: [1, 2, 3].map((number) => nodeOf(number)),
    discovery: new Map(),
    storeUuids: new Map(),
    conductorNodes: [],
    storeNodes: [],
    conductors: new Map(),
    stores: new Map(),
    zookeeper: NO_SERVERS,
    mariadb: NO_SERVERS,
    csi: NO_CSI,
    control: null,
    ...patch,
  };
}

/** The view once a platform has done what the plan says. */
export function carriedOut(view: ClusterView, plan: ClusterPlan): ClusterView {
  const conductors = new Map(view.conductors);
  const stores = new Map(view.stores);
  for (const { instance, revision, mayChange } of plan.conductors) {
    if (mayChange) conductors.set(instance.ordinal, running(revision, instance.image));
  }
  for (const { instance, revision, mayChange } of plan.stores) {
    if (mayChange) stores.set(instance.node, running(revision, instance.image));
  }
  const numbers = [...stores.keys()].map((name) => Number(name.slice(1)));
  const isExternal = view.spec.metadataEngine === 'external';
  return {
    ...view,
    zookeeper: serversOf(plan, 'zookeeper', view.zookeeper),
    mariadb: serversOf(plan, 'mariadb', view.mariadb),
    csi: csiOf(view, plan),
    wasMade: !isExternal,
    conductorNodes: plan.conductors.map(({ instance }) => instance.node),
    storeNodes: [...stores.keys()],
    conductors,
    stores,
    control: isExternal ? null : (view.control ?? controlOf(numbers)),
  };
}

function serversOf(plan: ClusterPlan, kind: 'zookeeper' | 'mariadb', before: ServersView): ServersView {
  const wanted = plan.servers.find(({ group }) => group.kind === kind);
  if (wanted === undefined || !wanted.mayChange) return before;
  const { members, image } = wanted.group;
  return {
    nodes: members.flatMap(({ place }) => (place === null ? [] : [place.node])),
    members: new Map(members.map(({ ordinal }) => [ordinal, running(wanted.revision, image)])),
    wasFounded: true,
  };
}

/** All of it, although it takes a platform two rounds: first the driver's name becomes this cluster's. */
function csiOf(view: ClusterView, { csi }: ClusterPlan): ClusterView['csi'] {
  if (view.csi === null || csi === null || !csi.mayChange) return view.csi;
  const set = (revisionOf: (node: string) => string): NodeSetView => ({
    wantedCount: view.nodes.length,
    pods: view.nodes.map(({ name }) => ({ node: name, revision: revisionOf(name), isReady: true })),
  });
  const before = view.csi.datapath?.pods ?? [];
  return {
    ...view.csi,
    holder: `${view.namespace}/${view.name}`,
    // Nobody replaces a pod of pfnbd.
    datapath: set((node) => before.find((pod) => pod.node === node)?.revision ?? csi.revision),
    node: set(() => ''),
    controller: { ready: view.spec.csi.controllers },
  };
}

export const running = (revision: string, image: string): WorkloadView => ({ revision, image, isReady: true, isCurrent: true });

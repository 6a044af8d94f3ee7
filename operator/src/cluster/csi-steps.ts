// Steps of the way from claims to volumes that are not like others: objects that belong to no namespace, which nobody owns and which may be
// somebody else's, and pods that nobody replaces.
import { refOf, type KubeObject } from '../api/objects.ts';
import {
  clusterWideLabels,
  csiControllerName,
  csiNodeName,
  labelsOf,
  pfnbdName,
  REVISION_ANNOTATION,
  selectorOf,
  type ClusterFrame,
} from '../manifests/builders.ts';
import type { Inventory } from '../runtime/inventory.ts';
import { isContained } from './contained.ts';
import { clusterOf } from './observe-csi.ts';
import { hasNeverRun } from './pod-ready.ts';
import type { Step } from './steps.ts';

const STORAGE = 'storage.k8s.io/v1';
const RBAC = 'rbac.authorization.k8s.io/v1';

/** Kinds of objects without a namespace. */
const CLUSTER_WIDE = [
  [STORAGE, 'StorageClass'],
  [RBAC, 'ClusterRoleBinding'],
  [STORAGE, 'CSIDriver'],
] as const;

const NAMESPACED = [
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'DaemonSet'],
  [RBAC, 'RoleBinding'],
  ['v1', 'ServiceAccount'],
] as const;

const isClusterWide = (object: KubeObject): boolean => object.metadata.namespace === undefined;

/** Null: an object like others. */
export function stepsForCsi(frame: ClusterFrame, object: KubeObject, inventory: Inventory): readonly Step[] | null {
  if (!CLUSTER_WIDE.some(([, kind]) => kind === object.kind) || !isClusterWide(object)) return null;
  const live = inventory.get(refOf(object));
  // Made and not applied: of two clusters one gets the name.
  if (live === null) return [{ kind: 'create', object }];
  if (clusterOf(live) !== `${frame.namespace}/${frame.name}`) return [];
  if (isSameForever(object, live)) return [{ kind: 'apply', object }];
  return [
    { kind: 'delete', ref: refOf(live), uid: live.metadata.uid ?? '' },
    { kind: 'create', object },
  ];
}

/** What the API server lets nobody change; volumes keep what they were made with. */
const LASTING: Readonly<Record<string, readonly string[]>> = {
  StorageClass: ['provisioner', 'parameters', 'reclaimPolicy', 'volumeBindingMode'],
  ClusterRoleBinding: ['roleRef'],
};

function isSameForever(object: KubeObject, live: KubeObject): boolean {
  return (LASTING[object.kind] ?? []).every((field) => {
    const part = (of: KubeObject): KubeObject => ({ apiVersion: '', kind: '', metadata: { name: '' }, field: of[field] });
    return isContained(part(object), part(live)) && isContained(part(live), part(object));
  });
}

/** Everything of it that is there. */
export function csiPresent(frame: ClusterFrame, inventory: Inventory): readonly KubeObject[] {
  const components = ['pfnbd', 'csi-node', 'csi-controller', 'csi'] as const;
  const namespaced = NAMESPACED.flatMap(([apiVersion, kind]) =>
    components.flatMap((component) => inventory.list(apiVersion, kind, frame.namespace, labelsOf(frame, component))),
  );
  return [...namespaced, ...csiClusterWide(frame, inventory)];
}

export function csiClusterWide(frame: ClusterFrame, inventory: Inventory): readonly KubeObject[] {
  return CLUSTER_WIDE.flatMap(([apiVersion, kind]) => inventory.list(apiVersion, kind, null, clusterWideLabels(frame)));
}

/** In the order in which they are taken away: no new volumes, no new mounts; the datapath, last, when nothing is left to reach through it. */
export function csiWorkloads(frame: ClusterFrame, inventory: Inventory): { front: KubeObject[]; datapath: KubeObject[] } {
  const find = (kind: string, name: string): KubeObject[] => {
    const object = inventory.get({ apiVersion: 'apps/v1', kind, namespace: frame.namespace, name });
    return object === null ? [] : [object];
  };
  return {
    front: [...find('Deployment', csiControllerName(frame)), ...find('DaemonSet', csiNodeName(frame))],
    datapath: find('DaemonSet', pfnbdName(frame)),
  };
}

/** Of an earlier revision and never started: nobody would replace it, and nothing is served by it. */
export function stuckDatapathPods(frame: ClusterFrame, inventory: Inventory): KubeObject[] {
  const [set] = csiWorkloads(frame, inventory).datapath;
  if (set === undefined) return [];
  const revision = set.metadata.annotations?.[REVISION_ANNOTATION];
  return inventory
    .list('v1', 'Pod', frame.namespace, selectorOf(frame, 'pfnbd'))
    .filter((pod) => hasNeverRun(pod) && pod.metadata.annotations?.[REVISION_ANNOTATION] !== revision);
}

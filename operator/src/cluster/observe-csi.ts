// From Kubernetes objects to what a plan sees of the way from claims to volumes. Pure. An object that no label of ours is on is somebody's.
import type { KubeObject } from '../api/objects.ts';
import {
  CLUSTER_LABEL,
  csiControllerName,
  csiNodeName,
  DRIVER_NAME,
  MANAGER,
  NAMESPACE_LABEL,
  pfnbdName,
  REVISION_ANNOTATION,
  selectorOf,
  type ClusterFrame,
} from '../manifests/builders.ts';
import type { CsiView, NodeSetView } from '../plan/view.ts';
import type { Inventory } from '../runtime/inventory.ts';
import { isPodReady } from './pod-ready.ts';

export function observeCsi(frame: ClusterFrame, inventory: Inventory, pods: readonly KubeObject[]): CsiView {
  const { namespace, spec } = frame;
  const driver = inventory.get({ apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', name: DRIVER_NAME });
  const name = csiControllerName(frame);
  const deployment = inventory.get({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name });
  const controllers = withLabels(pods, selectorOf(frame, 'csi-controller'));
  return {
    holder: driver === null ? null : (clusterOf(driver) ?? ''),
    takenClasses: spec.storageClasses
      .map((each) => each.name)
      .filter((each) => {
        const found = inventory.get({ apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', name: each });
        return found !== null && clusterOf(found) !== `${namespace}/${frame.name}`;
      }),
    datapath: nodeSet(inventory, namespace, pfnbdName(frame), withLabels(pods, selectorOf(frame, 'pfnbd'))),
    node: nodeSet(inventory, namespace, csiNodeName(frame), withLabels(pods, selectorOf(frame, 'csi-node'))),
    controller: deployment === null ? null : { ready: controllers.filter(isPodReady).length },
  };
}

/** "namespace/name" of the cluster that an object without a namespace belongs to; null: to none of ours. */
export function clusterOf({ metadata: { labels } }: KubeObject): string | null {
  if (labels?.['app.kubernetes.io/managed-by'] !== MANAGER) return null;
  const [namespace, name] = [labels[NAMESPACE_LABEL], labels[CLUSTER_LABEL]];
  return namespace === undefined || name === undefined ? null : `${namespace}/${name}`;
}

function nodeSet(inventory: Inventory, namespace: string, name: string, pods: readonly KubeObject[]): NodeSetView | null {
  const set = inventory.get({ apiVersion: 'apps/v1', kind: 'DaemonSet', namespace, name });
  if (set === null) return null;
  const status = set['status'] as { desiredNumberScheduled?: number; observedGeneration?: number } | undefined;
  const isCounted = status?.observedGeneration !== undefined && status.observedGeneration >= (set.metadata.generation ?? 0);
  return {
    wantedCount: isCounted ? (status.desiredNumberScheduled ?? 0) : null,
    pods: pods
      .filter((pod) => pod.metadata.deletionTimestamp === undefined)
      .map((pod) => ({
        node: (pod['spec'] as { nodeName?: string } | null)?.nodeName ?? '',
        revision: pod.metadata.annotations?.[REVISION_ANNOTATION] ?? '',
        isReady: isPodReady(pod),
      })),
  };
}

function withLabels(pods: readonly KubeObject[], labels: Readonly<Record<string, string>>): readonly KubeObject[] {
  const wanted = Object.entries(labels);
  return pods.filter((pod) => wanted.every(([label, value]) => pod.metadata.labels?.[label] === value));
}

// The caches of everything that reconcilers look at: one watch for each kind, reduced to what is ours and to the fields that are read.
import { PfError } from '@pureflash/datapath/base';
import { API_VERSION } from '../api/crd.ts';
import type { KubeObject, ObjectRef } from '../api/objects.ts';
import type { Inventory } from '../runtime/inventory.ts';
import { keepOfClaimed } from '../volume/claimed-volumes.ts';
import type { KubeWorld } from './kube-world.ts';
import type { ListWatch } from './watch.ts';

interface Watched {
  readonly apiVersion: string;
  readonly kind: string;
  /** Objects of ours carry labels; resources of ours and nodes are all looked at. */
  readonly isLabelled: boolean;
  readonly isNamespaced: boolean;
  /** The cluster may not know the kind. */
  readonly isOptional?: boolean;
}

const WATCHED: readonly Watched[] = [
  { apiVersion: API_VERSION, kind: 'StorageCluster', isLabelled: false, isNamespaced: true },
  { apiVersion: API_VERSION, kind: 'Store', isLabelled: false, isNamespaced: true },
  { apiVersion: API_VERSION, kind: 'Volume', isLabelled: false, isNamespaced: true },
  { apiVersion: 'v1', kind: 'Node', isLabelled: false, isNamespaced: false },
  { apiVersion: 'v1', kind: 'Pod', isLabelled: true, isNamespaced: true },
  { apiVersion: 'v1', kind: 'ConfigMap', isLabelled: true, isNamespaced: true },
  { apiVersion: 'v1', kind: 'Service', isLabelled: true, isNamespaced: true },
  { apiVersion: 'v1', kind: 'PersistentVolumeClaim', isLabelled: true, isNamespaced: true },
  { apiVersion: 'v1', kind: 'PersistentVolume', isLabelled: true, isNamespaced: false },
  { apiVersion: 'apps/v1', kind: 'StatefulSet', isLabelled: true, isNamespaced: true },
  { apiVersion: 'apps/v1', kind: 'DaemonSet', isLabelled: true, isNamespaced: true },
  { apiVersion: 'apps/v1', kind: 'Deployment', isLabelled: true, isNamespaced: true },
  { apiVersion: 'v1', kind: 'ServiceAccount', isLabelled: true, isNamespaced: true },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', isLabelled: true, isNamespaced: true },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', isLabelled: true, isNamespaced: false },
  // Of everybody: their names are taken, whoever has them.
  { apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', isLabelled: false, isNamespaced: false },
  { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', isLabelled: false, isNamespaced: false },
  { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', isLabelled: true, isNamespaced: true },
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', isLabelled: true, isNamespaced: true },
  {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'ServiceMonitor',
    isLabelled: true,
    isNamespaced: true,
    isOptional: true,
  },
];

const OURS = 'app.kubernetes.io/name=pureflash';

export class KubeInventory implements Inventory {
  /** PersistentVolumes, whosoever they are: those that claims have carry no labels of ours. Not what `get` and `list` look at. */
  readonly claimed: ListWatch;
  readonly #watches = new Map<string, ListWatch>();

  /** `namespace`: the only one looked at; null: all. Starts at once. */
  constructor(kube: KubeWorld, namespace: string | null) {
    for (const { apiVersion, kind, isLabelled, isNamespaced } of WATCHED) {
      const watch = kube.watch({
        apiVersion,
        kind,
        keep: kind === 'Node' ? keepOfNode : kind === 'Pod' ? keepOfPod : keepOfAny,
        ...(isLabelled ? { labelSelector: OURS } : {}),
        ...(isNamespaced && namespace !== null ? { namespace } : {}),
      });
      this.#watches.set(keyOf(apiVersion, kind), watch);
    }
    this.claimed = kube.watch({ apiVersion: 'v1', kind: 'PersistentVolume', keep: keepOfClaimed });
  }

  /** Resolves when every cache has seen its kind once. */
  async synced(): Promise<void> {
    const needed = WATCHED.filter((each) => each.isOptional !== true);
    await Promise.all(
      [...needed.map(({ apiVersion, kind }) => this.of(apiVersion, kind)), this.claimed].map((each) => each.hasSynced),
    );
  }

  of(apiVersion: string, kind: string): ListWatch {
    const watch = this.#watches.get(keyOf(apiVersion, kind));
    if (watch === undefined) throw new PfError('INVALID_STATE', `nobody watches ${apiVersion} ${kind}: add it to the inventory`);
    return watch;
  }

  get(ref: ObjectRef): KubeObject | null {
    return this.of(ref.apiVersion, ref.kind).get(ref.name, ref.namespace);
  }

  list(
    apiVersion: string,
    kind: string,
    namespace: string | null,
    labels: Readonly<Record<string, string>>,
  ): readonly KubeObject[] {
    const wanted = Object.entries(labels);
    const found: KubeObject[] = [];
    for (const object of this.of(apiVersion, kind).values()) {
      const { metadata } = object;
      if (namespace !== null && metadata.namespace !== namespace) continue;
      if (wanted.every(([label, value]) => metadata.labels?.[label] === value)) found.push(object);
    }
    return found.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }
}

const keyOf = (apiVersion: string, kind: string): string => `${apiVersion} ${kind}`;

function keepOfAny(object: KubeObject): KubeObject {
  const { managedFields: _who, ...metadata } = object.metadata as KubeObject['metadata'] & { managedFields?: unknown };
  return { ...object, metadata };
}

function keepOfNode(object: KubeObject): KubeObject {
  const { name, uid, resourceVersion, labels, deletionTimestamp } = object.metadata;
  const status = object['status'] as
    | { addresses?: unknown; conditions?: readonly { type: string; status: string }[] }
    | undefined;
  const conditions = status?.conditions
    ?.filter((each) => each.type === 'Ready')
    .map(({ type, status: is }) => ({ type, status: is }));
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: JSON.parse(JSON.stringify({ name, uid, resourceVersion, labels, deletionTimestamp })) as KubeObject['metadata'],
    spec: { unschedulable: (object['spec'] as { unschedulable?: boolean } | undefined)?.unschedulable === true },
    status: { addresses: status?.addresses, conditions },
  };
}

function keepOfPod(object: KubeObject): KubeObject {
  const status = object['status'] as
    | { phase?: string; conditions?: readonly { type: string }[]; containerStatuses?: unknown }
    | undefined;
  return {
    ...keepOfAny(object),
    spec: { nodeName: (object['spec'] as { nodeName?: string } | undefined)?.nodeName },
    status: {
      phase: status?.phase,
      conditions: status?.conditions?.filter((each) => each.type === 'Ready'),
      containerStatuses: status?.containerStatuses,
    },
  };
}

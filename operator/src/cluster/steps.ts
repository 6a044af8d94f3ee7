// From a plan to the calls that make it true: which objects are applied, which go. Pure, in the order in which they are made; an operator
// that dies between two of them makes the same list again, without what is done.
import { refOf, type KubeObject, type ObjectRef } from '../api/objects.ts';
import {
  budget,
  CLUSTER_LABEL,
  conductorName,
  conductorService,
  conductorSet,
  csiObjects,
  discoveryPod,
  labelsOf,
  liveConfig,
  MANAGER,
  monitors,
  REVISION_ANNOTATION,
  selectorOf,
  serverBudget,
  serverObjects,
  serversName,
  stateVolume,
  storeResource,
  storeSet,
  storesService,
  type ClusterFrame,
} from '../manifests/builders.ts';
import type { ClusterPlan } from '../plan/cluster-plan.ts';
import type { Inventory } from '../runtime/inventory.ts';
import { isContained } from './contained.ts';
import { csiClusterWide, csiPresent, csiWorkloads, stepsForCsi, stuckDatapathPods } from './csi-steps.ts';

export type Step =
  | { readonly kind: 'apply'; readonly object: KubeObject }
  /** Only if it is not there: what it is made with stays. */
  | { readonly kind: 'create'; readonly object: KubeObject }
  | { readonly kind: 'delete'; readonly ref: ObjectRef; readonly uid: string };

export interface StepOptions {
  /** The cluster knows the kinds of the Prometheus operator. */
  readonly hasServiceMonitors: boolean;
  /** Discovery pods that failed long enough ago to be tried again. */
  readonly failedLooks: readonly KubeObject[];
  /** Name of the ClusterRole for the CSI controller. */
  readonly csiRole: string;
  /** Loop devices count as devices of a host. Default false. */
  readonly looksAtLoops?: boolean;
}

/** Everything that a plan wants, whether it is there or not. */
export function desiredObjects(frame: ClusterFrame, plan: ClusterPlan, options: StepOptions): KubeObject[] {
  if (plan.action === 'remove') return [];
  // Nothing is changed, but drains still have to be held off.
  const budgets = [...plan.budgets.map((each) => budget(frame, each)), ...plan.servers.map((each) => serverBudget(frame, each))];
  if (plan.action === 'keep') return budgets;
  const set = plan.conductors[0]?.mayChange === true ? conductorSet(frame, plan.conductors) : null;
  const changing = plan.stores.filter((each) => each.mayChange);
  return [
    liveConfig(frame, plan.settings),
    conductorService(frame),
    storesService(frame),
    ...plan.servers.flatMap((each) => serverObjects(frame, each)),
    ...plan.conductors.map(({ instance }) => stateVolume(frame, instance)),
    ...(set === null ? [] : [set]),
    ...plan.stores.map(({ instance }) => storeResource(frame, instance.node)),
    ...plan.discover.map(({ node }) => storeResource(frame, node)),
    ...changing.map((each) => storeSet(frame, each)),
    ...(plan.csi?.mayChange === true ? csiObjects(frame, plan.csi, options.csiRole) : []),
    ...budgets,
    ...(options.hasServiceMonitors && frame.spec.monitoring.serviceMonitor ? monitors(frame) : []),
    ...plan.discover.map(({ node, selection }) => discoveryPod(frame, node, selection, options.looksAtLoops)),
  ];
}

export function stepsOf(frame: ClusterFrame, plan: ClusterPlan, inventory: Inventory, options: StepOptions): readonly Step[] {
  if (plan.action === 'remove') return removal(frame, inventory);
  const desired = desiredObjects(frame, plan, options);
  const different = desired.filter((object) => !isContained(object, inventory.get(refOf(object))));
  const missing = different.flatMap((object) => stepsForCsi(frame, object, inventory) ?? applying(object, inventory));
  const stale = superfluous(frame, plan, desired, inventory);
  if (plan.action === 'keep') return [...missing, ...stale.filter(({ kind }) => kind === 'PodDisruptionBudget').map(deletion)];
  const stuck = [...stuckPods(frame, inventory), ...stuckDatapathPods(frame, inventory)];
  return [...missing, ...stuck.filter(isThere).map(deletion), ...stale.map(deletion), ...options.failedLooks.map(deletion)];
}

/** Where a conductor's state lies, and what a look was made for, is decided once. */
const MADE_ONCE: ReadonlySet<string> = new Set(['PersistentVolume', 'Pod']);

function applying(object: KubeObject, inventory: Inventory): Step[] {
  if (!MADE_ONCE.has(object.kind)) return [{ kind: 'apply', object }];
  return inventory.get(refOf(object)) === null ? [{ kind: 'create', object }] : [];
}

/** Kinds of which nothing stays that is not wanted. Workloads of daemons are not among them: they go with their cluster, or by hand. */
const PRUNED: readonly (readonly [apiVersion: string, kind: string])[] = [
  ['policy/v1', 'PodDisruptionBudget'],
  ['networking.k8s.io/v1', 'NetworkPolicy'],
  ['monitoring.coreos.com/v1', 'ServiceMonitor'],
];

function superfluous(
  frame: ClusterFrame,
  plan: ClusterPlan,
  desired: readonly KubeObject[],
  inventory: Inventory,
): readonly KubeObject[] {
  const wanted = new Set(desired.map((object) => `${object.kind} ${object.metadata.name}`));
  const looks = inventory.list('v1', 'Pod', frame.namespace, selectorOf(frame, 'discovery'));
  const present = [...PRUNED.flatMap(([apiVersion, kind]) => ours(frame, inventory, apiVersion, kind)), ...looks];
  // What stays as it is stays as a whole.
  const csi = plan.csi === null || plan.csi.mayChange ? csiPresent(frame, inventory) : [];
  return [...present, ...serversNotWanted(frame, plan, inventory), ...csi].filter(
    (object) => !wanted.has(`${object.kind} ${object.metadata.name}`) && isThere(object),
  );
}

/** Servers of an engine that is not asked for any more: their pods go, their data stays where it is. */
function serversNotWanted(frame: ClusterFrame, plan: ClusterPlan, inventory: Inventory): readonly KubeObject[] {
  const wanted = plan.servers.map(({ group }) => serversName(frame, group.kind));
  return serverSets(frame, inventory).filter((set) => !wanted.includes(set.metadata.name));
}

function serverSets(frame: ClusterFrame, inventory: Inventory): readonly KubeObject[] {
  return SERVER_KINDS.flatMap((kind) => inventory.list('apps/v1', 'StatefulSet', frame.namespace, labelsOf(frame, kind)));
}

const SERVER_KINDS = ['zookeeper', 'mariadb'] as const;

/** A StatefulSet replaces no pod that never became ready: one of an old revision that is not ready is in the way of the new one. */
function stuckPods(frame: ClusterFrame, inventory: Inventory): KubeObject[] {
  const sets = ours(frame, inventory, 'apps/v1', 'StatefulSet');
  return sets.flatMap((set) => {
    const { replicas = 1 } = set['spec'] as { replicas?: number };
    const revision = set.metadata.annotations?.[REVISION_ANNOTATION];
    return Array.from({ length: replicas }, (_, ordinal) => `${set.metadata.name}-${ordinal}`).flatMap((name) => {
      const pod = inventory.get({ apiVersion: 'v1', kind: 'Pod', namespace: frame.namespace, name });
      return pod !== null && isThere(pod) && isStuck(pod, revision) ? [pod] : [];
    });
  });
}

function isStuck(pod: KubeObject, revision: string | undefined): boolean {
  const isOld = pod.metadata.annotations?.[REVISION_ANNOTATION] !== revision;
  const status = pod['status'] as { conditions?: { type: string; status: string }[] } | undefined;
  return isOld && status?.conditions?.find((each) => each.type === 'Ready')?.status !== 'True';
}

/**
 * First what makes and mounts volumes, then stores, conductors, the servers of their engine, pfnbd, and at last what says where conductors and
 * servers have their state. Nothing on any disk is touched, and claims of a storage class stay: their volumes would go with them.
 */
function removal(frame: ClusterFrame, inventory: Inventory): readonly Step[] {
  const sets = ours(frame, inventory, 'apps/v1', 'StatefulSet');
  const servers = serverSets(frame, inventory);
  const isConductor = (object: KubeObject): boolean => object.metadata.name === conductorName(frame);
  const isServer = (object: KubeObject): boolean => servers.some((each) => each.metadata.name === object.metadata.name);
  const stores = sets.filter((set) => !isConductor(set) && !isServer(set));
  const { front, datapath } = csiWorkloads(frame, inventory);
  for (const group of [front, stores, sets.filter(isConductor), servers, datapath])
    if (group.length > 0) return group.filter(isThere).map(deletion);
  const claims = inventory
    .list('v1', 'PersistentVolumeClaim', frame.namespace, { 'app.kubernetes.io/instance': frame.name })
    .filter((claim) => (claim['spec'] as { storageClassName?: string }).storageClassName === '');
  const volumes = (['conductor', ...SERVER_KINDS] as const)
    .flatMap((component) => inventory.list('v1', 'PersistentVolume', null, labelsOf(frame, component)))
    .filter((volume) => (volume['spec'] as { claimRef?: { namespace?: string } }).claimRef?.namespace === frame.namespace);
  return [...claims, ...volumes, ...csiClusterWide(frame, inventory)].filter(isThere).map(deletion);
}

/** Nothing of it is left, and its finalizer may go. */
export function isRemoved(frame: ClusterFrame, inventory: Inventory): boolean {
  const { front, datapath } = csiWorkloads(frame, inventory);
  const left = [...ours(frame, inventory, 'apps/v1', 'StatefulSet'), ...front, ...datapath];
  return removal(frame, inventory).length === 0 && left.length === 0;
}

function ours(frame: ClusterFrame, inventory: Inventory, apiVersion: string, kind: string): readonly KubeObject[] {
  const labels = { [CLUSTER_LABEL]: frame.name, 'app.kubernetes.io/managed-by': MANAGER };
  return inventory.list(apiVersion, kind, frame.namespace, labels);
}

const isThere = (object: KubeObject): boolean => object.metadata.deletionTimestamp === undefined;

function deletion(object: KubeObject): Step {
  return { kind: 'delete', ref: refOf(object), uid: object.metadata.uid ?? '' };
}

// From a plan to what the resources say of themselves. Edges only: as long as nothing changes, the status is equal to the one before and
// nothing is written. Pure.
import { formatHostPort } from '@pureflash/datapath/api';
import type { StorageClusterStatus } from '../api/v1alpha1/storage-cluster.ts';
import type { StoreStatus } from '../api/v1alpha1/store.ts';
import type { ClusterPlan, PlannedCondition, StoreInstance } from '../plan/cluster-plan.ts';
import { storeAt, type ClusterView, type StoreView } from '../plan/view.ts';
import { setCondition, type Condition } from '../runtime/conditions.ts';
import type { Look } from './looks.ts';

export interface Stamp {
  readonly generation: number;
  /** RFC 3339. */
  readonly now: string;
}

export function clusterStatus(
  before: StorageClusterStatus | undefined,
  view: ClusterView,
  plan: ClusterPlan,
  stamp: Stamp,
): StorageClusterStatus {
  const { counts } = plan;
  const clusterUuid = view.control?.clusterUuid ?? before?.clusterUuid;
  const version = isUniform(view) ? view.spec.image : before?.version;
  return {
    observedGeneration: stamp.generation,
    conditions: setConditions(before?.conditions, plan.conditions, stamp),
    phase: plan.phase,
    ...(version === undefined ? {} : { version }),
    conductors: {
      wanted: view.spec.conductors.count,
      ready: counts.conductorsReady,
      nodes:
        plan.conductors.length > 0 ? plan.conductors.map(({ instance }) => instance.node) : (before?.conductors?.nodes ?? []),
    },
    stores: { wanted: counts.storesWanted, ready: counts.storesReady, upgraded: counts.storesUpgraded },
    endpoints: plan.endpoints.length > 0 ? plan.endpoints : (before?.endpoints ?? []),
    ...(clusterUuid === undefined ? {} : { clusterUuid }),
  };
}

/** The planned ones and no others. */
function setConditions(
  before: readonly Condition[] | undefined,
  planned: readonly PlannedCondition[],
  { generation, now }: Stamp,
): readonly Condition[] {
  let list = (before ?? []).filter((each) => planned.some(({ type }) => type === each.type));
  for (const condition of planned) list = [...setCondition(list, { ...condition, observedGeneration: generation }, now)];
  return list;
}

function isUniform(view: ClusterView): boolean {
  const workloads = [...view.conductors.values(), ...view.stores.values()];
  return workloads.length > 0 && workloads.every((each) => each.isReady && each.isCurrent && each.image === view.spec.image);
}

export function storeStatus(
  before: StoreStatus | undefined,
  view: ClusterView,
  instance: StoreInstance | null,
  look: Look | null,
  stamp: Stamp,
): StoreStatus {
  const heard = storeOf(view, instance, before);
  const address = heard?.dataAddress ?? before?.address;
  const workload = instance === null ? undefined : view.stores.get(instance.node);
  const conditions = [online(view, instance, heard), disksHealthy(heard, before)];
  const discovery = look === null ? before?.discovery : { selection: look.selection, time: look.time, devices: look.devices };
  const storeId = heard?.id ?? before?.storeId;
  const storeUuid = heard?.uuid ?? before?.storeUuid;
  const failureDomain = instance?.failureDomain ?? before?.failureDomain;
  const image = workload?.isCurrent === true ? workload.image : before?.image;
  const disks = heard === null ? before?.disks : heard.disks.map((disk) => diskStatus(disk, before));
  return {
    observedGeneration: stamp.generation,
    conditions: setConditions(before?.conditions, conditions, stamp),
    ...(storeId === undefined ? {} : { storeId }),
    ...(storeUuid === undefined ? {} : { storeUuid }),
    ...(address === undefined ? {} : { address }),
    ...(failureDomain === undefined ? {} : { failureDomain }),
    ...(image === undefined ? {} : { image }),
    ...(disks === undefined ? {} : { disks }),
    ...(discovery === undefined ? {} : { discovery }),
  };
}

/** A node that is gone has left the id of its store. */
function storeOf(view: ClusterView, instance: StoreInstance | null, before: StoreStatus | undefined): StoreView | null {
  if (instance !== null) return storeAt(view.control, formatHostPort(instance.address, instance.managementPort));
  return view.control?.stores.find((store) => store.uuid === before?.storeUuid) ?? null;
}

function online(view: ClusterView, instance: StoreInstance | null, heard: StoreView | null): PlannedCondition {
  const type = 'Online';
  // One that serves goes on serving while its node's devices are looked at again.
  if (instance === null && heard === null) return { type, status: 'False', reason: 'NoDisk', message: 'no disk has been chosen' };
  if (view.control === null) return { type, status: 'Unknown', reason: 'NoAnswer', message: 'no conductor answers' };
  if (heard === null) return { type, status: 'False', reason: 'Starting', message: 'the conductor has not heard of it yet' };
  if (!heard.isOnline) return { type, status: 'False', reason: 'Silent', message: 'the conductor does not hear it any more' };
  return { type, status: 'True', reason: 'Online', message: 'the conductor hears it' };
}

function disksHealthy(heard: StoreView | null, before: StoreStatus | undefined): PlannedCondition {
  const type = 'DisksHealthy';
  const failed = heard?.disks.filter((disk) => !disk.isHealthy).map((disk) => disk.device) ?? [];
  if (failed.length > 0) return { type, status: 'False', reason: 'DiskFailed', message: `failed: ${failed.join(', ')}` };
  if (heard !== null) return { type, status: 'True', reason: 'Healthy', message: `${heard.disks.length} disks without an error` };
  const known = before?.conditions?.find((each) => each.type === type);
  return known ?? { type, status: 'Unknown', reason: 'NotHeard', message: 'the conductor has not heard of the store' };
}

const STEP_PERCENT = 5;

/** The figure moves in steps, and only when free space has moved by one: a disk at the border of two does not flutter. */
function diskStatus(
  disk: StoreView['disks'][number],
  before: StoreStatus | undefined,
): NonNullable<StoreStatus['disks']>[number] {
  const exact = disk.capacity === 0 ? 0 : (disk.free / disk.capacity) * 100;
  const shown = before?.disks?.find((each) => each.uuid === disk.uuid)?.freePercent;
  const isNear = shown !== undefined && Math.abs(exact - shown) < STEP_PERCENT;
  return {
    uuid: disk.uuid,
    device: disk.device,
    status: disk.isHealthy ? 'OK' : 'ERROR',
    capacity: disk.capacity,
    freePercent: isNear ? shown : Math.floor(exact / STEP_PERCENT) * STEP_PERCENT,
  };
}

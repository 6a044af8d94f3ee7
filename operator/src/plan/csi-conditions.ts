// What a StorageCluster says of the way from claims to volumes; none where it is switched off, or the platform has no CSI.
//   DatapathReady   does pfnbd serve on every node that is to have it?      CsiReady   can claims be served everywhere?
import { clusterKey, isStillNeeded, isTaken } from './csi.ts';
import type { PlannedCondition, WantedCsi } from './cluster-plan.ts';
import { engineMissing } from './server-conditions.ts';
import type { ClusterView, NodeSetView } from './view.ts';

const DATAPATH = 'DatapathReady';
const CSI = 'CsiReady';

export function csiConditions(view: ClusterView, isExternal: boolean): readonly PlannedCondition[] {
  const { csi, spec, control } = view;
  if (csi === null || (!spec.csi.enabled && !isStillNeeded(view))) return [];
  if (isExternal) return [engineMissing(DATAPATH), engineMissing(CSI)];
  if (isTaken(view)) return [made(CSI, 'False', 'DriverTaken', takenBy(csi.holder!, clusterKey(view)))];
  const datapath = onNodes(DATAPATH, 'pfnbd', csi.datapath);
  if (spec.csi.enabled) return [datapath, csiReady(view)];
  const count = control === null ? 'volumes may be' : `${control.attachedCount} volumes are`;
  const message = `csi.enabled is false, but ${count} attached: the driver and pfnbd stay until the pods that use them are gone`;
  return [datapath, made(CSI, 'False', 'VolumesAttached', message)];
}

/** Nodes whose pfnbd has to be restarted by hand; empty: none. */
export function nodesBehind({ csi }: ClusterView, wanted: WantedCsi | null): readonly string[] {
  if (wanted === null || csi === null || csi.datapath === null) return [];
  const behind = csi.datapath.pods.filter((pod) => pod.revision !== wanted.revision).map((pod) => pod.node);
  return behind.sort();
}

function takenBy(holder: string, own: string): string {
  if (holder === '') return 'the CSIDriver csi.pureflash.io is not of this operator; delete it, or set csi.enabled: false';
  return `the CSI driver belongs to StorageCluster ${holder}, and one of a Kubernetes cluster can have it: set csi.enabled: false there, or in ${own}`;
}

function csiReady({ csi }: ClusterView): PlannedCondition {
  const { controller, node, takenClasses } = csi!;
  if (takenClasses.length > 0) {
    const names = takenClasses.join(', ');
    return made(CSI, 'False', 'ClassTaken', `storage class ${names} is somebody else's: give spec.storageClasses another name`);
  }
  if (controller === null || controller.ready === 0)
    return made(CSI, 'False', 'Starting', 'no controller is ready: claims wait, volumes in use do not');
  return onNodes(CSI, 'the driver', node);
}

function onNodes(type: string, what: string, set: NodeSetView | null): PlannedCondition {
  if (set === null || set.wantedCount === null) return made(type, 'False', 'Starting', `${what} is being started`);
  if (set.wantedCount === 0) return made(type, 'False', 'NoNode', 'no node matches csi.nodeSelector');
  const ready = set.pods.filter((pod) => pod.isReady);
  if (ready.length >= set.wantedCount) return made(type, 'True', 'Serving', `${what} serves on ${ready.length} nodes`);
  const missing = set.pods.filter((pod) => !pod.isReady && pod.node !== '').map((pod) => pod.node);
  const where = missing.length === 0 ? '' : `; not on ${missing.sort().join(', ')}`;
  return made(type, 'False', 'NotOnAllNodes', `${what} serves on ${ready.length} of ${set.wantedCount} nodes${where}`);
}

const made = (type: string, status: PlannedCondition['status'], reason: string, message: string): PlannedCondition => ({
  type,
  status,
  reason,
  message,
});

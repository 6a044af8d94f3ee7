// The way from claims to volumes: pfnbd on the nodes, the CSI driver, its classes. One StorageCluster of a Kubernetes cluster has it, and whoever
// has the CSIDriver object has it: the first one to make it.
import type { CsiImages, WantedCsi } from './cluster-plan.ts';
import { datapathRevision, type Hash } from './revision.ts';
import { isInMaintenance } from './rollout.ts';
import type { ClusterView } from './view.ts';

/** Versions that this operator's flags and rights were tried with. */
const SIDECARS = { provisioner: 'v6.3.0', attacher: 'v4.12.0', resizer: 'v2.2.0' } as const;
const DRIVER = 'pureflash-csi';

export const clusterKey = ({ namespace, name }: Pick<ClusterView, 'namespace' | 'name'>): string => `${namespace}/${name}`;

/** Null: nothing of it is to be there. */
export function planCsi(view: ClusterView, endpoints: readonly string[], version: string, hash: Hash): WantedCsi | null {
  const { spec, csi } = view;
  if (csi === null || endpoints.length === 0 || isTaken(view)) return null;
  if (!spec.csi.enabled && !isStillNeeded(view)) return null;
  const datapath = {
    image: spec.image,
    conductors: endpoints,
    mapper: spec.nodeDatapath.mapper,
    resources: spec.nodeDatapath.resources ?? null,
  };
  return {
    datapath,
    revision: datapathRevision(hash, datapath),
    images: imagesOf(spec, version),
    isHolder: csi.holder === clusterKey(view),
    mayChange: spec.csi.enabled && (!isInMaintenance(view) || csi.datapath === null),
  };
}

/** The driver's name is somebody else's. */
export function isTaken(view: ClusterView): boolean {
  return view.csi !== null && view.csi.holder !== null && view.csi.holder !== clusterKey(view);
}

/** Switched off while volumes are attached: pods would lose them. */
export function isStillNeeded({ csi, control, wasMade }: ClusterView): boolean {
  return csi !== null && csi.datapath !== null && (control === null ? wasMade : control.attachedCount > 0);
}

function imagesOf({ image, csi }: ClusterView['spec'], version: string): CsiImages {
  const tag = image.includes('@') ? version : image.slice(image.lastIndexOf(':') + 1);
  const { provisioner, attacher, resizer } = csi.sidecars;
  return {
    driver: csi.image ?? imageBeside(image, DRIVER, tag),
    provisioner: provisioner ?? imageBeside(image, 'csi-provisioner', SIDECARS.provisioner),
    attacher: attacher ?? imageBeside(image, 'csi-attacher', SIDECARS.attacher),
    resizer: resizer ?? imageBeside(image, 'csi-resizer', SIDECARS.resizer),
  };
}

/** In the same registry and folder. */
function imageBeside(image: string, name: string, tag: string): string {
  const [path = ''] = image.split('@');
  return `${path.slice(0, path.lastIndexOf('/') + 1)}${name}:${tag}`;
}

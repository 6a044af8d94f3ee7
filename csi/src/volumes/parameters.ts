// The parameters of a storage class. Every one that is not known is refused by name: a typing error must not make a volume that lacks what
// its class seems to promise.
import { PfError } from '@pureflash/datapath/base';

export interface ClassParameters {
  readonly replicaCount: number;
}

export interface ClassDefaults {
  /** The cluster that this driver serves; a class may name it. */
  readonly clusterName: string;
  readonly replicaCount: number;
}

const KNOWN = ['replicas', 'cluster'];
/** Of other vendors' classes, or of later versions: asked for in good faith, so the answer says what to do. */
const NOT_AVAILABLE: Readonly<Record<string, string>> = {
  qos: 'volumes have no limits of their own in this version; leave it out',
  encryption: 'volumes are not encrypted in this version; use encrypted disks and leave it out',
  failureDomain: 'replicas are spread over the failure domain of the StorageCluster (spec.placement.failureDomain); leave it out',
  fs: 'name the filesystem with csi.storage.k8s.io/fstype',
};
/** What Kubernetes' sidecars add by themselves. */
const KUBERNETES_PREFIX = 'csi.storage.k8s.io/';
const MAX_REPLICAS = 3;

/** Error INVALID_ARGUMENT, with the parameter's name. */
export function readParameters(parameters: Readonly<Record<string, string>>, defaults: ClassDefaults): ClassParameters {
  let { replicaCount } = defaults;
  for (const [name, value] of Object.entries(parameters)) {
    if (name === 'replicas') replicaCount = readReplicas(value);
    else if (name === 'cluster') checkCluster(value, defaults.clusterName);
    else if (Object.hasOwn(NOT_AVAILABLE, name)) throw refuse(name, NOT_AVAILABLE[name]!);
    else if (!name.startsWith(KUBERNETES_PREFIX)) throw refuse(name, `it is not known; the known ones are ${KNOWN.join(', ')}`);
  }
  return { replicaCount };
}

function readReplicas(value: string): number {
  const count = /^[0-9]$/.test(value) ? Number(value) : 0;
  if (count >= 1 && count <= MAX_REPLICAS) return count;
  throw refuse('replicas', `a number from 1 to ${MAX_REPLICAS} was wanted, not ${show(value)}`);
}

function checkCluster(value: string, clusterName: string): void {
  if (value !== clusterName) throw refuse('cluster', `this driver serves "${clusterName}", not ${show(value)}`);
}

const refuse = (name: string, complaint: string): PfError =>
  new PfError('INVALID_ARGUMENT', `parameter ${show(name)} of the storage class: ${complaint}`);

const show = (text: string): string => JSON.stringify(text.slice(0, 80));

// What every object of a cluster has in common: names, labels, the owner.
import { API_VERSION } from '../api/crd.ts';
import type { KubeObject, OwnerReference } from '../api/objects.ts';
import type { StorageClusterSpec } from '../api/v1alpha1/storage-cluster.ts';
import type { ServerKind } from '../plan/cluster-plan.ts';
import type { Hash } from '../plan/revision.ts';

export interface ClusterFrame {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly spec: StorageClusterSpec;
  readonly hash: Hash;
}

export type Component =
  | 'conductor'
  | 'store'
  | 'discovery'
  | 'config'
  | 'pfnbd'
  | 'csi'
  | 'csi-node'
  | 'csi-controller'
  | ServerKind;

export const CLUSTER_LABEL = 'pureflash.io/cluster';
export const NODE_LABEL = 'pureflash.io/node';
export const DOMAIN_LABEL = 'pureflash.io/failure-domain';
export const REVISION_ANNOTATION = 'pureflash.io/revision';
export const SELECTION_ANNOTATION = 'pureflash.io/selection';
export const MANAGER = 'pureflash-operator';

/** Labels are at most 63 characters long, and so are names of pods that a StatefulSet numbers. */
const MAX_NAME = 52;

/** By these a workload finds its pods: never changed. */
export function selectorOf(frame: ClusterFrame, component: Component): Readonly<Record<string, string>> {
  return {
    'app.kubernetes.io/name': 'pureflash',
    'app.kubernetes.io/instance': frame.name,
    'app.kubernetes.io/component': component,
  };
}

export function labelsOf(frame: ClusterFrame, component: Component): Readonly<Record<string, string>> {
  return {
    ...selectorOf(frame, component),
    'app.kubernetes.io/part-of': 'pureflash',
    'app.kubernetes.io/managed-by': MANAGER,
    [CLUSTER_LABEL]: frame.name,
  };
}

export function ownerOf(frame: ClusterFrame): OwnerReference {
  return {
    apiVersion: API_VERSION,
    kind: 'StorageCluster',
    name: frame.name,
    uid: frame.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export interface ObjectParts {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly component: Component;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A namespaced object that goes with its cluster. */
export function owned(frame: ClusterFrame, parts: ObjectParts, content: Readonly<Record<string, unknown>>): KubeObject {
  const { apiVersion, kind, name, component, labels = {}, annotations } = parts;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace: frame.namespace,
      labels: { ...labelsOf(frame, component), ...labels },
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [ownerOf(frame)],
    },
    ...content,
  };
}

/** A name that is a label value too: long ones keep their beginning and get a hash. */
export function shortName(hash: Hash, name: string): string {
  const plain = name.replaceAll('.', '-');
  return plain.length <= MAX_NAME && plain === name ? name : `${plain.slice(0, MAX_NAME - 9)}-${hash(name).slice(0, 8)}`;
}

export const conductorName = (frame: ClusterFrame): string => shortName(frame.hash, `${frame.name}-conductor`);
export const storeName = (frame: ClusterFrame, node: string): string => shortName(frame.hash, `${frame.name}-store-${node}`);
export const storesName = (frame: ClusterFrame): string => shortName(frame.hash, `${frame.name}-stores`);
/** Of the Secret with the token that every call of the cluster's HTTP APIs carries. */
export const tokenName = (frame: Pick<ClusterFrame, 'name' | 'hash'>): string => shortName(frame.hash, `${frame.name}-api-token`);
export const configName = (frame: ClusterFrame): string => shortName(frame.hash, `${frame.name}-config`);
/** Of the Store resource. */
export const storeResourceName = (frame: Pick<ClusterFrame, 'name' | 'hash'>, node: string): string =>
  shortName(frame.hash, `${frame.name}-${node}`);

/** A value that may stand in a label. */
export const labelValue = (hash: Hash, text: string): string =>
  /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(text) ? text : hash(text).slice(0, 16);

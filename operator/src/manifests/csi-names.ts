// Names and places of what belongs to the way from claims to volumes.
import { labelsOf, shortName, type ClusterFrame } from './cluster-frame.ts';
import type { KubeObject } from '../api/objects.ts';

export const DRIVER_NAME = 'csi.pureflash.io';
/** Of an object without a namespace: where its cluster is. */
export const NAMESPACE_LABEL = 'pureflash.io/cluster-namespace';

type Named = Pick<ClusterFrame, 'name' | 'hash'>;

export const pfnbdName = ({ hash, name }: Named): string => shortName(hash, `${name}-pfnbd`);
export const csiNodeName = ({ hash, name }: Named): string => shortName(hash, `${name}-csi-node`);
export const csiControllerName = ({ hash, name }: Named): string => shortName(hash, `${name}-csi-controller`);
/** Of the controller's ServiceAccount, and of its RoleBinding. */
export const csiAccountName = ({ hash, name }: Named): string => shortName(hash, `${name}-csi`);
export const csiBindingName = ({ namespace, name }: Pick<ClusterFrame, 'namespace' | 'name'>): string =>
  `pureflash:${namespace}:${name}:csi`;

/** Where pfnbd has its socket and what need not outlive a boot, on the node and in pods alike: the kernel remembers such paths. */
export const runFolder = ({ name }: Pick<ClusterFrame, 'name'>): string => `/run/pureflash/${name}`;
/** A folder of its own: who mounts it gets no mounts of pfnbd's with it, which would then outlive their end. */
export const socketFolder = (frame: Pick<ClusterFrame, 'name'>): string => `${runFolder(frame)}/socket`;
export const pfnbdSocket = (frame: Pick<ClusterFrame, 'name'>): string => `${socketFolder(frame)}/pfnbd.sock`;

export const stateFolder = ({ spec, namespace, name }: ClusterFrame, what: string): string =>
  `${spec.conductors.dataPath}/${namespace}/${name}/${what}`;

/** By these an object without a namespace is found again. */
export const clusterWideLabels = (frame: ClusterFrame): Readonly<Record<string, string>> => ({
  ...labelsOf(frame, 'csi'),
  [NAMESPACE_LABEL]: frame.namespace,
});

/** An object that belongs to no namespace: nothing can own it, so it is taken away by its labels. */
export function clusterWide(
  frame: ClusterFrame,
  parts: { readonly apiVersion: string; readonly kind: string; readonly name: string; readonly annotations?: object },
  content: Readonly<Record<string, unknown>>,
): KubeObject {
  const { apiVersion, kind, name, annotations } = parts;
  const metadata = { name, labels: clusterWideLabels(frame), ...(annotations === undefined ? {} : { annotations }) };
  return { apiVersion, kind, metadata: metadata as KubeObject['metadata'], ...content };
}

// The PersistentVolume that ties a folder on a node to the claim of one pod. It outlives the cluster: it belongs to nobody.
import { bytesOfQuantity } from '@pureflash/datapath/base';
import type { KubeObject } from '../api/objects.ts';
import { labelsOf, type ClusterFrame, type Component } from './cluster-frame.ts';

/** Only a figure on volume and claim: a folder has no size of its own. */
export const FOLDER_SIZE = '1Gi';

export interface FolderVolume {
  readonly name: string;
  readonly claim: string;
  readonly component: Component;
  readonly node: string;
  readonly path: string;
}

export function folderVolume(frame: ClusterFrame, { name, claim, component, node, path }: FolderVolume): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, labels: labelsOf(frame, component) },
    spec: {
      capacity: { storage: FOLDER_SIZE },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: '',
      volumeMode: 'Filesystem',
      hostPath: { path, type: 'DirectoryOrCreate' },
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: frame.namespace, name: claim },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }],
        },
      },
    },
  };
}

/** For volumeClaimTemplates; `size` null: a folder. */
export function claimTemplate(name: string, storageClassName: string | null, size: string | number | null): object {
  return {
    metadata: { name },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: storageClassName ?? '',
      volumeMode: 'Filesystem',
      resources: { requests: { storage: size === null ? FOLDER_SIZE : canonicalSize(size) } },
    },
  };
}

/** As the API server writes it down: "1Gi" for "1024Mi". Anything else would look like a difference for ever. */
export function canonicalSize(size: string | number): string {
  let count = bytesOfQuantity(size) ?? 0;
  const isBinary = count % 1024 === 0;
  const step = isBinary ? 1024 : 1000;
  let unit = 0;
  for (; count % step === 0 && unit < 5; unit += 1) count /= step;
  return `${count}${(isBinary ? ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'] : ['', 'k', 'M', 'G', 'T', 'P'])[unit]}`;
}

// PersistentVolumes as Kubernetes' provisioner makes them, for tests.
import type { KubeObject } from '../../api/objects.ts';

export function persistentVolume({ phase = 'Bound', spec = {} }: { phase?: string; spec?: object } = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {
      name: 'pvc-1',
      uid: 'pv-uid',
      resourceVersion: '7',
      annotations: { 'pv.kubernetes.io/provisioned-by': 'csi.pureflash.io' },
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '1Gi' },
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'app', name: 'data', uid: 'claim-1' },
      csi: { driver: 'csi.pureflash.io', volumeHandle: 'pvc-1' },
      persistentVolumeReclaimPolicy: 'Delete',
      storageClassName: 'pureflash',
      ...spec,
    },
    status: { phase },
  };
}

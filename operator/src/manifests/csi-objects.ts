// What the way from claims to volumes consists of, in the order in which it is made. The first object of it names the cluster that has the driver.
import type { KubeObject } from '../api/objects.ts';
import type { StorageClassSpec } from '../api/v1alpha1/csi.ts';
import type { WantedCsi } from '../plan/cluster-plan.ts';
import { owned, type ClusterFrame } from './cluster-frame.ts';
import { csiController } from './csi-controller.ts';
import { clusterWide, csiAccountName, csiBindingName, DRIVER_NAME } from './csi-names.ts';
import { csiNodeSet } from './csi-node.ts';
import { pfnbdSet } from './pfnbd.ts';

const RBAC = 'rbac.authorization.k8s.io';

/** `role`: name of the ClusterRole with the controller's rights, which is there already; "-leases" after it names that of its elections. */
export function csiObjects(frame: ClusterFrame, wanted: WantedCsi, role: string): readonly KubeObject[] {
  if (!wanted.isHolder) return [csiDriver(frame)];
  return [
    csiDriver(frame),
    owned(frame, { apiVersion: 'v1', kind: 'ServiceAccount', name: csiAccountName(frame), component: 'csi' }, {}),
    electionBinding(frame, role),
    clusterBinding(frame, role),
    pfnbdSet(frame, wanted),
    csiNodeSet(frame, wanted),
    csiController(frame, wanted),
    ...frame.spec.storageClasses.map((each) => storageClass(frame, each)),
  ];
}

function csiDriver(frame: ClusterFrame): KubeObject {
  return clusterWide(
    frame,
    { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', name: DRIVER_NAME },
    {
      spec: {
        attachRequired: true,
        podInfoOnMount: false,
        fsGroupPolicy: 'ReadWriteOnceWithFSType',
        seLinuxMount: true,
        storageCapacity: false,
        volumeLifecycleModes: ['Persistent'],
      },
    },
  );
}

const subjects = (frame: ClusterFrame): readonly object[] => [
  { kind: 'ServiceAccount', name: csiAccountName(frame), namespace: frame.namespace },
];

function electionBinding(frame: ClusterFrame, role: string): KubeObject {
  return owned(
    frame,
    { apiVersion: `${RBAC}/v1`, kind: 'RoleBinding', name: csiAccountName(frame), component: 'csi' },
    { roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: `${role}-leases` }, subjects: subjects(frame) },
  );
}

function clusterBinding(frame: ClusterFrame, role: string): KubeObject {
  return clusterWide(
    frame,
    { apiVersion: `${RBAC}/v1`, kind: 'ClusterRoleBinding', name: csiBindingName(frame) },
    { roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: role }, subjects: subjects(frame) },
  );
}

const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';

function storageClass(frame: ClusterFrame, spec: StorageClassSpec): KubeObject {
  const { name, replicas, fsType, isDefault, reclaimPolicy, allowExpansion } = spec;
  return clusterWide(
    frame,
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      name,
      annotations: { [DEFAULT_CLASS]: String(isDefault) },
    },
    {
      provisioner: DRIVER_NAME,
      parameters: { cluster: frame.name, replicas: String(replicas), 'csi.storage.k8s.io/fstype': fsType },
      reclaimPolicy,
      allowVolumeExpansion: allowExpansion,
      volumeBindingMode: 'Immediate',
    },
  );
}

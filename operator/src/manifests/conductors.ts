// The conductors: a StatefulSet whose volumes are folders on chosen nodes, so that a conductor and its state are never apart.
import type { KubeObject } from '../api/objects.ts';
import type { ConductorInstance, Wanted } from '../plan/cluster-plan.ts';
import {
  conductorName,
  configName,
  labelsOf,
  owned,
  REVISION_ANNOTATION,
  selectorOf,
  type ClusterFrame,
} from './cluster-frame.ts';
import { CONFIG_FOLDER, daemonPod, TOKEN_FLAG } from './daemon-pod.ts';

const STATE = 'state';
const STATE_FOLDER = '/var/lib/pureflash';
/** Only a figure on the claim: a folder has no size of its own. */
const STATE_SIZE = '1Gi';

export const stateClaimName = (frame: ClusterFrame, ordinal: number): string => `${STATE}-${conductorName(frame)}-${ordinal}`;
export const stateVolumeName = (frame: ClusterFrame, ordinal: number): string =>
  `pureflash-${frame.namespace}-${conductorName(frame)}-${ordinal}`;

/** The PersistentVolume that ties the state of one conductor to its node. It outlives the cluster: it belongs to nobody. */
export function stateVolume(frame: ClusterFrame, instance: ConductorInstance): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: stateVolumeName(frame, instance.ordinal), labels: labelsOf(frame, 'conductor') },
    spec: {
      capacity: { storage: STATE_SIZE },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: '',
      volumeMode: 'Filesystem',
      hostPath: { path: instance.dataPath, type: 'DirectoryOrCreate' },
      claimRef: {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        namespace: frame.namespace,
        name: stateClaimName(frame, instance.ordinal),
      },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [instance.node] }] }],
        },
      },
    },
  };
}

/** Null while none is placed. */
export function conductorSet(frame: ClusterFrame, conductors: readonly Wanted<ConductorInstance>[]): KubeObject | null {
  const first = conductors[0];
  if (first === undefined) return null;
  const { spec } = frame;
  const { instance } = first;
  const labels = selectorOf(frame, 'conductor');
  const pod = daemonPod(frame, {
    program: 'pfconductor',
    args: [
      '--config',
      `${CONFIG_FOLDER}/conductor.json`,
      '--watch-config',
      ...TOKEN_FLAG,
      '--data',
      STATE_FOLDER,
      '--listen',
      `$(HOST_IP):${instance.port}`,
      '--cluster',
      frame.name,
    ],
    image: instance.image,
    port: { name: 'http', number: instance.port },
    resources: spec.conductors.resources,
    isPrivileged: false,
    mounts: [{ name: STATE, mountPath: STATE_FOLDER }],
    node: instance.node,
    tolerations: spec.conductors.tolerations ?? [],
    volumes: [],
    configName: configName(frame),
  });
  const parts = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    name: conductorName(frame),
    component: 'conductor',
    annotations: { [REVISION_ANNOTATION]: first.revision },
  } as const;
  return owned(frame, parts, {
    spec: {
      replicas: conductors.length,
      serviceName: conductorName(frame),
      podManagementPolicy: 'Parallel',
      selector: { matchLabels: labels },
      template: { metadata: { labels, annotations: { [REVISION_ANNOTATION]: first.revision } }, spec: pod },
      volumeClaimTemplates: [
        {
          metadata: { name: STATE },
          spec: {
            accessModes: ['ReadWriteOnce'],
            storageClassName: '',
            volumeMode: 'Filesystem',
            resources: { requests: { storage: STATE_SIZE } },
          },
        },
      ],
    },
  });
}

// The conductors: a StatefulSet whose volumes are folders on chosen nodes, so that a conductor and its state are never apart.
import type { KubeObject } from '../api/objects.ts';
import type { ConductorInstance, Wanted } from '../plan/cluster-plan.ts';
import { conductorName, configName, owned, REVISION_ANNOTATION, selectorOf, type ClusterFrame } from './cluster-frame.ts';
import { CONFIG_FOLDER, daemonPod, listenAddress, TOKEN_FLAG } from './daemon-pod.ts';
import { claimTemplate, folderVolume } from './folder-volume.ts';

const STATE = 'state';
const STATE_FOLDER = '/var/lib/pureflash';

export const stateClaimName = (frame: ClusterFrame, ordinal: number): string => `${STATE}-${conductorName(frame)}-${ordinal}`;
export const stateVolumeName = (frame: ClusterFrame, ordinal: number): string =>
  `pureflash-${frame.namespace}-${conductorName(frame)}-${ordinal}`;

export function stateVolume(frame: ClusterFrame, instance: ConductorInstance): KubeObject {
  return folderVolume(frame, {
    name: stateVolumeName(frame, instance.ordinal),
    claim: stateClaimName(frame, instance.ordinal),
    component: 'conductor',
    node: instance.node,
    path: instance.dataPath,
  });
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
      listenAddress(instance.address, instance.port),
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
      volumeClaimTemplates: [claimTemplate(STATE, null, null)],
    },
  });
}

// Looking at a node's devices: a pod that reads, says what it found as its termination message, and ends. It needs no rights at the API
// server and no network.
import type { KubeObject } from '../api/objects.ts';
import { NODE_LABEL, owned, selectorOf, SELECTION_ANNOTATION, shortName, type ClusterFrame } from './cluster-frame.ts';
import { commandOf, onNode } from './daemon-pod.ts';

/** Where the host's folders are seen. */
const HOST = '/host';
const FOLDERS = ['/dev', '/sys', '/proc', '/run/udev'];
const REPORT = '/dev/termination-log';

export const discoveryName = (frame: ClusterFrame, node: string, selection: string): string =>
  shortName(frame.hash, `${frame.name}-look-${frame.hash(`${node} ${selection}`).slice(0, 8)}-${node}`);

export function discoveryPod(frame: ClusterFrame, node: string, selection: string, looksAtLoops = false): KubeObject {
  const { spec } = frame;
  const parts = {
    apiVersion: 'v1',
    kind: 'Pod',
    name: discoveryName(frame, node, selection),
    component: 'discovery',
    annotations: { [SELECTION_ANNOTATION]: selection, [NODE_LABEL]: node },
  } as const;
  return owned(frame, parts, {
    spec: {
      restartPolicy: 'Never',
      activeDeadlineSeconds: 120,
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...(spec.imagePullSecrets === undefined ? {} : { imagePullSecrets: spec.imagePullSecrets }),
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: onNode(node) } },
      tolerations: [{ operator: 'Exists' }],
      hostNetwork: true,
      containers: [
        {
          name: 'pfdiscover',
          image: spec.image,
          imagePullPolicy: spec.imagePullPolicy,
          command: commandOf('pfdiscover'),
          args: ['--root', HOST, '--termination-log', REPORT, ...(looksAtLoops ? ['--loop'] : [])],
          // Looking at a device that hangs holds a thread.
          env: [{ name: 'UV_THREADPOOL_SIZE', value: '32' }],
          terminationMessagePath: REPORT,
          securityContext: { privileged: true, readOnlyRootFilesystem: true },
          volumeMounts: FOLDERS.map((folder) => ({
            name: folder.replaceAll('/', '-').slice(1),
            mountPath: `${HOST}${folder}`,
            readOnly: true,
          })),
        },
      ],
      volumes: FOLDERS.map((folder) => ({ name: folder.replaceAll('/', '-').slice(1), hostPath: { path: folder, type: '' } })),
    },
  });
}

export const discoverySelector = (frame: ClusterFrame): Readonly<Record<string, string>> => selectorOf(frame, 'discovery');

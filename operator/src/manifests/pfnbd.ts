// pfnbd on the nodes. Its pods are replaced by whoever deletes them and by nobody else: every volume in use on a node goes through its pod.
import type { KubeObject } from '../api/objects.ts';
import type { WantedCsi } from '../plan/cluster-plan.ts';
import { owned, REVISION_ANNOTATION, selectorOf, tokenName, type ClusterFrame } from './cluster-frame.ts';
import { pfnbdName, pfnbdSocket, runFolder, stateFolder } from './csi-names.ts';
import { mountsOf, NODE_ENV, nodePodBase, socketProbe, volumesOf, type HostFolder } from './csi-pods.ts';
import { commandOf, TOKEN_FLAG, TOKEN_FOLDER } from './daemon-pod.ts';

/** Its requests are its limits: under memory pressure it is the last to go. */
const RESOURCES = { requests: { cpu: '100m', memory: '512Mi' }, limits: { memory: '512Mi' } } as const;
/** Handing devices over to the next one is a matter of seconds; killing it meanwhile would only make volumes wait. */
const GRACE_SECONDS = 60;
const CGROUPS = '/sys/fs/cgroup';
const CGROUPS_HERE = '/host/cgroup';

export function pfnbdSet(frame: ClusterFrame, { datapath, revision }: WantedCsi): KubeObject {
  const { spec } = frame;
  const labels = selectorOf(frame, 'pfnbd');
  const annotations = { [REVISION_ANNOTATION]: revision };
  const state = stateFolder(frame, 'pfnbd');
  const folders: readonly HostFolder[] = [
    { name: 'dev', path: '/dev', mustExist: true },
    { name: 'run', path: runFolder(frame), isShared: true },
    { name: 'state', path: state },
    // Holders of FUSE connections leave the cgroup of the pod: they stay when it goes.
    { name: 'cgroups', path: CGROUPS, mountPath: CGROUPS_HERE, mustExist: true },
  ];
  const container = {
    name: 'pfnbd',
    image: datapath.image,
    imagePullPolicy: spec.imagePullPolicy,
    command: commandOf('pfnbd'),
    args: [
      ...['--node', '$(NODE_NAME)'],
      ...datapath.conductors.flatMap((address) => ['--conductor', address]),
      ...TOKEN_FLAG,
      ...['--socket', pfnbdSocket(frame), '--run', runFolder(frame), '--state', state],
      ...['--mapper', datapath.mapper],
    ],
    env: [NODE_ENV, { name: 'PF_HOLDER_CGROUPS', value: CGROUPS_HERE }],
    // No liveness probe: killing it for being slow would make every volume on the node wait.
    readinessProbe: socketProbe(pfnbdSocket(frame)),
    resources: datapath.resources ?? RESOURCES,
    securityContext: { privileged: true, readOnlyRootFilesystem: true },
    volumeMounts: [{ name: 'token', mountPath: TOKEN_FOLDER, readOnly: true }, ...mountsOf(folders)],
  };
  const pod = {
    ...nodePodBase(frame),
    // It finds the holders of its devices again by what /proc says of them.
    hostPID: true,
    terminationGracePeriodSeconds: GRACE_SECONDS,
    containers: [container],
    volumes: [{ name: 'token', secret: { secretName: tokenName(frame), defaultMode: 0o400 } }, ...volumesOf(folders)],
  };
  return owned(
    frame,
    { apiVersion: 'apps/v1', kind: 'DaemonSet', name: pfnbdName(frame), component: 'pfnbd', annotations },
    {
      spec: {
        updateStrategy: { type: 'OnDelete' },
        selector: { matchLabels: labels },
        template: { metadata: { labels, annotations }, spec: pod },
      },
    },
  );
}

// The CSI driver on the nodes: mounts what pfnbd maps. It may be replaced at any moment, for no volume goes through it.
import type { KubeObject } from '../api/objects.ts';
import type { WantedCsi } from '../plan/cluster-plan.ts';
import { owned, selectorOf, type ClusterFrame } from './cluster-frame.ts';
import { csiNodeName, DRIVER_NAME, pfnbdSocket, socketFolder, stateFolder } from './csi-names.ts';
import { grpcLiveness, mountsOf, NODE_ENV, nodePodBase, socketProbe, volumesOf, type HostFolder } from './csi-pods.ts';
import { commandOf } from './daemon-pod.ts';

const SOCKET_FOLDER = '/csi';
const SOCKET = `${SOCKET_FOLDER}/csi.sock`;
const REGISTRY = '/registration';
const GRACE_SECONDS = 30;

export function csiNodeSet(frame: ClusterFrame, { images }: WantedCsi): KubeObject {
  const { spec } = frame;
  const { kubeletPath } = spec.csi;
  const labels = selectorOf(frame, 'csi-node');
  const state = stateFolder(frame, 'csi');
  const plugin = `${kubeletPath}/plugins/${DRIVER_NAME}`;
  const folders: readonly HostFolder[] = [
    { name: 'dev', path: '/dev', mustExist: true },
    { name: 'kubelet', path: kubeletPath, isShared: true, mustExist: true },
    { name: 'plugin', path: plugin, mountPath: SOCKET_FOLDER },
    { name: 'registry', path: `${kubeletPath}/plugins_registry`, mountPath: REGISTRY },
    { name: 'pfnbd', path: socketFolder(frame) },
    { name: 'state', path: state },
  ];
  const container = {
    name: 'pureflash-csi',
    image: images.driver,
    imagePullPolicy: spec.imagePullPolicy,
    command: commandOf('pureflash-csi'),
    args: [
      ...['--mode', 'node', '--socket', SOCKET, '--node', '$(NODE_NAME)'],
      ...['--pfnbd', pfnbdSocket(frame), '--state', state, '--kubelet', kubeletPath],
      ...['--register', REGISTRY, '--register-as', `${plugin}/csi.sock`],
    ],
    env: [NODE_ENV],
    readinessProbe: socketProbe(SOCKET),
    livenessProbe: grpcLiveness(SOCKET),
    resources: { requests: { cpu: '20m', memory: '96Mi' }, limits: { memory: '256Mi' } },
    securityContext: { privileged: true, readOnlyRootFilesystem: true },
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }, ...mountsOf(folders)],
  };
  const pod = {
    ...nodePodBase(frame),
    terminationGracePeriodSeconds: GRACE_SECONDS,
    containers: [container],
    volumes: [{ name: 'tmp', emptyDir: {} }, ...volumesOf(folders)],
  };
  return owned(
    frame,
    { apiVersion: 'apps/v1', kind: 'DaemonSet', name: csiNodeName(frame), component: 'csi-node' },
    {
      spec: {
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '20%' } },
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: pod },
      },
    },
  );
}

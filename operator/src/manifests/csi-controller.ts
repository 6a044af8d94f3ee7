// The CSI driver's controller with the programs of Kubernetes beside it, which call it at its socket. Of two replicas one leads, for each
// of those programs apart.
import type { KubeObject } from '../api/objects.ts';
import type { WantedCsi } from '../plan/cluster-plan.ts';
import { owned, selectorOf, tokenName, type ClusterFrame } from './cluster-frame.ts';
import { csiAccountName, csiControllerName } from './csi-names.ts';
import { grpcLiveness, socketProbe } from './csi-pods.ts';
import { commandOf, TOKEN_FLAG, TOKEN_FOLDER } from './daemon-pod.ts';

const SOCKET_FOLDER = '/csi';
const SOCKET = `${SOCKET_FOLDER}/csi.sock`;
const USER = 65532;
const CALL_TIMEOUT = '60s';
/** Claims that come at once are served at once. */
const WORKERS = 32;
/** A node that is lost takes no claims with it for longer. */
const LOST_NODE_SECONDS = 30;

const NO_RIGHTS = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } } as const;
const POD_NAMESPACE = { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } } as const;

export function csiController(frame: ClusterFrame, wanted: WantedCsi): KubeObject {
  const { spec } = frame;
  const labels = selectorOf(frame, 'csi-controller');
  const { provisioner, attacher, resizer } = wanted.images;
  const pod = {
    serviceAccountName: csiAccountName(frame),
    priorityClassName: 'system-cluster-critical',
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 30,
    ...(spec.imagePullSecrets === undefined ? {} : { imagePullSecrets: spec.imagePullSecrets }),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    affinity: { podAntiAffinity: apart(labels) },
    tolerations: [
      { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists' },
      ...['not-ready', 'unreachable'].map((taint) => ({
        key: `node.kubernetes.io/${taint}`,
        operator: 'Exists',
        effect: 'NoExecute',
        tolerationSeconds: LOST_NODE_SECONDS,
      })),
    ],
    containers: [
      driver(frame, wanted),
      sidecar(frame, 'csi-provisioner', provisioner, ['--extra-create-metadata', `--worker-threads=${WORKERS}`]),
      sidecar(frame, 'csi-attacher', attacher, [`--worker-threads=${WORKERS}`]),
      // Volumes grow while they are in use.
      sidecar(frame, 'csi-resizer', resizer, ['--handle-volume-inuse-error=false']),
    ],
    volumes: [
      { name: 'socket', emptyDir: { medium: 'Memory' } },
      { name: 'token', secret: { secretName: tokenName(frame), defaultMode: 0o440 } },
    ],
  };
  return owned(
    frame,
    { apiVersion: 'apps/v1', kind: 'Deployment', name: csiControllerName(frame), component: 'csi-controller' },
    {
      spec: {
        replicas: spec.csi.controllers,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: pod },
      },
    },
  );
}

function driver(frame: ClusterFrame, { images, datapath }: WantedCsi): object {
  return {
    name: 'pureflash-csi',
    image: images.driver,
    imagePullPolicy: frame.spec.imagePullPolicy,
    command: commandOf('pureflash-csi'),
    args: [
      ...['--mode', 'controller', '--socket', SOCKET, '--cluster', frame.name],
      ...datapath.conductors.flatMap((address) => ['--conductor', address]),
      ...TOKEN_FLAG,
    ],
    readinessProbe: socketProbe(SOCKET),
    livenessProbe: grpcLiveness(SOCKET),
    resources: { requests: { cpu: '10m', memory: '96Mi' }, limits: { memory: '256Mi' } },
    securityContext: NO_RIGHTS,
    volumeMounts: [
      { name: 'socket', mountPath: SOCKET_FOLDER },
      { name: 'token', mountPath: TOKEN_FOLDER, readOnly: true },
    ],
  };
}

function sidecar(frame: ClusterFrame, name: string, image: string, args: readonly string[]): object {
  return {
    name,
    image,
    imagePullPolicy: frame.spec.imagePullPolicy,
    args: [
      `--csi-address=${SOCKET}`,
      `--timeout=${CALL_TIMEOUT}`,
      '--leader-election',
      '--leader-election-namespace=$(POD_NAMESPACE)',
      '--v=2',
      ...args,
    ],
    env: [POD_NAMESPACE],
    resources: { requests: { cpu: '10m', memory: '48Mi' }, limits: { memory: '256Mi' } },
    securityContext: NO_RIGHTS,
    volumeMounts: [{ name: 'socket', mountPath: SOCKET_FOLDER }],
  };
}

/** Two nodes where there are two. */
function apart(labels: Readonly<Record<string, string>>): object {
  const term = { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: labels } };
  return { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term }] };
}

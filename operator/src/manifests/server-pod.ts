// What the pods of managed servers have in common: the pod network, no rights at all, one writable folder for data and one for what dies
// with the pod. They run as the user of the usual images; where their data is a folder on a node, which kubelet makes for root, a container
// before them hands it over.
import type { ManagedServersSpec } from '../api/v1alpha1/metadata-servers.ts';
import type { ServerGroup } from '../plan/cluster-plan.ts';
import { selectorOf, type ClusterFrame } from './cluster-frame.ts';
import { serversName, serverClaimTemplate } from './server-names.ts';

export interface ServerContainer {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: readonly object[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number; readonly protocol: 'TCP' }[];
  readonly ready: readonly string[];
  readonly alive: readonly string[];
  /** How long it may take from its start until it answers at all: recovery, or a copy from another server. */
  readonly startSeconds: number;
}

export interface ServerPodParts {
  readonly group: ServerGroup;
  readonly managed: ManagedServersSpec;
  readonly userId: number;
  readonly graceSeconds: number;
  readonly dataFolder: string;
  readonly configFolder: string;
  /** Before the server. */
  readonly prepare: readonly string[] | null;
  readonly container: ServerContainer;
  readonly mounts: readonly object[];
  readonly volumes: readonly object[];
}

const NO_RIGHTS = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
} as const;

const PROBE = { timeoutSeconds: 5 } as const;

export function serverPod(frame: ClusterFrame, parts: ServerPodParts): object {
  const { group, managed, userId, prepare, dataFolder } = parts;
  const { spec } = frame;
  const isFolder = group.storageClassName === null;
  const mounts = [
    { name: serverClaimTemplate, mountPath: dataFolder },
    { name: 'config', mountPath: parts.configFolder, readOnly: true },
    { name: 'tmp', mountPath: '/tmp' },
    ...parts.mounts,
  ];
  const base = { image: group.image, imagePullPolicy: spec.imagePullPolicy, volumeMounts: mounts };
  const init = [
    ...(isFolder ? [handOver(base, userId, dataFolder)] : []),
    ...(prepare === null ? [] : [{ name: 'prepare', ...base, command: prepare, securityContext: NO_RIGHTS }]),
  ];
  return {
    priorityClassName: 'system-cluster-critical',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: parts.graceSeconds,
    ...(spec.imagePullSecrets === undefined ? {} : { imagePullSecrets: spec.imagePullSecrets }),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: userId,
      runAsGroup: userId,
      fsGroup: userId,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    },
    affinity: { ...nodesOf(managed), podAntiAffinity: apart(frame, group) },
    ...(managed.tolerations === undefined ? {} : { tolerations: managed.tolerations }),
    ...(init.length === 0 ? {} : { initContainers: init }),
    containers: [containerOf(base, parts)],
    volumes: [
      { name: 'config', configMap: { name: serversName(frame, group.kind) } },
      { name: 'tmp', emptyDir: {} },
      ...parts.volumes,
    ],
  };
}

function containerOf(base: object, { container, managed }: ServerPodParts): object {
  const { name, command, env, ports, ready, alive, startSeconds } = container;
  return {
    name,
    ...base,
    command,
    env,
    ports,
    startupProbe: { exec: { command: alive }, ...PROBE, periodSeconds: 5, failureThreshold: Math.ceil(startSeconds / 5) },
    readinessProbe: { exec: { command: ready }, ...PROBE, periodSeconds: 5, failureThreshold: 2 },
    // Slow is no reason to be killed: a minute without any answer is.
    livenessProbe: { exec: { command: alive }, ...PROBE, periodSeconds: 10, failureThreshold: 6 },
    ...(managed.resources === undefined ? {} : { resources: managed.resources }),
    securityContext: NO_RIGHTS,
  };
}

function handOver(base: object, userId: number, folder: string): object {
  return {
    name: 'hand-over',
    ...base,
    command: ['chown', `${userId}:${userId}`, folder],
    securityContext: { ...NO_RIGHTS, runAsNonRoot: false, runAsUser: 0, capabilities: { drop: ['ALL'], add: ['CHOWN'] } },
  };
}

function nodesOf({ nodeSelector }: ManagedServersSpec): object {
  const labels = Object.entries(nodeSelector);
  if (labels.length === 0) return {};
  const matchExpressions = labels.map(([key, value]) => ({ key, operator: 'In', values: [value] }));
  return { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } } };
}

const HOSTNAME = 'kubernetes.io/hostname';

/** Never two on a node; in one failure domain only where there are too few. */
function apart(frame: ClusterFrame, { kind }: ServerGroup): object {
  const labelSelector = { matchLabels: selectorOf(frame, kind) };
  const { failureDomain } = frame.spec.placement;
  const preferred =
    failureDomain === HOSTNAME ? [] : [{ weight: 100, podAffinityTerm: { topologyKey: failureDomain, labelSelector } }];
  return {
    requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: HOSTNAME, labelSelector }],
    ...(preferred.length === 0 ? {} : { preferredDuringSchedulingIgnoredDuringExecution: preferred }),
  };
}

/** Which pod a server is, for its scripts. */
export const POD_ENV = [
  { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
  { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
] as const;

// What the pods of all daemons have in common. Daemons use the network of their node: their addresses outlive pods, and neither cluster DNS
// nor service proxies stand between storage and those who need it to start.
import { tokenName, type ClusterFrame } from './cluster-frame.ts';

export const PROGRAM_FOLDER = '/opt/pureflash';
export const CONFIG_FOLDER = '/etc/pureflash';
export const TOKEN_FOLDER = '/etc/pureflash-token';
/** What every daemon is started with. */
export const TOKEN_FLAG = ['--token-file', `${TOKEN_FOLDER}/token`] as const;

/** Where a daemon listens on its node, whose address the pod is told: "HOST:PORT", of IPv6 "[HOST]:PORT". */
export function listenAddress(nodeAddress: string, port: number): string {
  return `${nodeAddress.includes(':') ? '[$(HOST_IP)]' : '$(HOST_IP)'}:${port}`;
}

const HOST_IP = { name: 'HOST_IP', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } };

interface ContainerParts {
  readonly program: string;
  readonly args: readonly string[];
  readonly image: string;
  readonly port: { readonly name: string; readonly number: number };
  readonly resources: unknown;
  readonly isPrivileged: boolean;
  readonly mounts: readonly object[];
}

export interface DaemonPodParts extends ContainerParts {
  readonly node: string;
  readonly tolerations: readonly object[];
  readonly volumes: readonly object[];
  readonly configName: string;
}

export function daemonPod(frame: ClusterFrame, parts: DaemonPodParts): object {
  const { spec } = frame;
  return {
    hostNetwork: true,
    dnsPolicy: 'ClusterFirstWithHostNet',
    priorityClassName: 'system-node-critical',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 30,
    ...(spec.imagePullSecrets === undefined ? {} : { imagePullSecrets: spec.imagePullSecrets }),
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: onNode(parts.node) } },
    // A daemon's data is on its node: being evicted would help nobody.
    tolerations: [
      { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
      { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
      ...parts.tolerations,
    ],
    containers: [containerOf(frame, parts)],
    volumes: [
      { name: 'config', configMap: { name: parts.configName } },
      { name: 'token', secret: { secretName: tokenName(frame), defaultMode: 0o400 } },
      ...parts.volumes,
    ],
  };
}

export function onNode(node: string): object {
  return { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }] };
}

export function commandOf(program: string): readonly string[] {
  return [`${PROGRAM_FOLDER}/node`, `${PROGRAM_FOLDER}/${program}.mjs`];
}

function containerOf(frame: ClusterFrame, parts: ContainerParts): object {
  return {
    name: parts.program,
    image: parts.image,
    imagePullPolicy: frame.spec.imagePullPolicy,
    command: commandOf(parts.program),
    args: parts.args,
    env: [HOST_IP],
    ports: [{ name: parts.port.name, containerPort: parts.port.number, protocol: 'TCP' }],
    // No liveness probe: a slow daemon that is killed for being slow takes its volumes with it.
    readinessProbe: { httpGet: { path: '/healthz', port: parts.port.number }, periodSeconds: 2, timeoutSeconds: 2 },
    ...(parts.resources === undefined ? {} : { resources: parts.resources }),
    securityContext: parts.isPrivileged
      ? { privileged: true, readOnlyRootFilesystem: true }
      : {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          runAsUser: 0,
          capabilities: { drop: ['ALL'], add: ['DAC_OVERRIDE'] },
          seccompProfile: { type: 'Unconfined' },
        },
    volumeMounts: [
      { name: 'config', mountPath: CONFIG_FOLDER, readOnly: true },
      { name: 'token', mountPath: TOKEN_FOLDER, readOnly: true },
      ...parts.mounts,
    ],
  };
}

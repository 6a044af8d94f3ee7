// What the pods of the way from claims to volumes have in common.
import type { ClusterFrame } from './cluster-frame.ts';
import { PROGRAM_FOLDER } from './daemon-pod.ts';

export const NODE_ENV = { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } } as const;

/** A folder of the node. */
export interface HostFolder {
  readonly name: string;
  readonly path: string;
  readonly mountPath?: string;
  /** Mounts made in the pod are seen on the node, and the other way round. */
  readonly isShared?: boolean;
  readonly mustExist?: boolean;
}

export function mountsOf(folders: readonly HostFolder[]): readonly object[] {
  return folders.map(({ name, path, mountPath = path, isShared = false }) => ({
    name,
    mountPath,
    ...(isShared ? { mountPropagation: 'Bidirectional' } : {}),
  }));
}

export function volumesOf(folders: readonly HostFolder[]): readonly object[] {
  return folders.map(({ name, path, mustExist = false }) => ({
    name,
    hostPath: { path, type: mustExist ? 'Directory' : 'DirectoryOrCreate' },
  }));
}

const CONNECTS =
  "require('node:net').connect(process.argv[1]).once('connect', () => process.exit(0)).once('error', () => process.exit(1))";

/** Ready: somebody listens at the unix socket. Seldom, and patient: each look is a process. */
export function socketProbe(path: string): object {
  return {
    exec: { command: [`${PROGRAM_FOLDER}/node`, '-e', CONNECTS, path] },
    periodSeconds: 10,
    timeoutSeconds: 5,
    failureThreshold: 3,
  };
}

/** The greeting of HTTP/2, and the first thing that comes back: the kernel takes a connection for a process that hangs, but answers nothing for it. */
const GREETS = String.raw`
const socket = require('node:net').connect(process.argv[1]);
socket.once('connect', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0', 'latin1'));
socket.once('data', () => process.exit(0)).once('error', () => process.exit(1)).once('close', () => process.exit(1));
`;

/**
 * Alive: the driver answers its callers. It is started again when it has not for three minutes; nothing of a volume goes through it. In the
 * container itself, where a process beside it would want a port of the node for the same question.
 */
export function grpcLiveness(path: string): { readonly exec: { readonly command: readonly string[] } } {
  return {
    exec: { command: [`${PROGRAM_FOLDER}/node`, '-e', GREETS.trim(), path] },
    ...{ initialDelaySeconds: 30, periodSeconds: 60, timeoutSeconds: 10, failureThreshold: 3 },
  };
}

/** On every chosen node. */
export function nodePodBase({ spec }: ClusterFrame): object {
  const { nodeSelector, tolerations } = spec.csi;
  return {
    hostNetwork: true,
    dnsPolicy: 'ClusterFirstWithHostNet',
    priorityClassName: 'system-node-critical',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    ...(spec.imagePullSecrets === undefined ? {} : { imagePullSecrets: spec.imagePullSecrets }),
    ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
    ...(tolerations === undefined ? {} : { tolerations }),
  };
}

// What discovery pods have found. Pure.
import { parseTerminationLog } from '@pureflash/datapath/discovery';
import type { KubeObject } from '../api/objects.ts';
import { device, type DeviceReport } from '../api/v1alpha1/store.ts';
import { NODE_LABEL, SELECTION_ANNOTATION } from '../manifests/builders.ts';
import type { Times } from './observe.ts';

export interface Look {
  readonly node: string;
  readonly selection: string;
  /** RFC 3339. */
  readonly time: string;
  readonly devices: readonly DeviceReport[];
}

const TRY_AGAIN_MS = 60_000;

interface Terminated {
  readonly exitCode: number;
  readonly message?: string;
  readonly finishedAt?: string;
}

/** Null while the pod runs, and when it has failed. */
export function lookOf(pod: KubeObject): Look | null {
  const { annotations } = pod.metadata;
  const node = annotations?.[NODE_LABEL];
  const selection = annotations?.[SELECTION_ANNOTATION];
  const ended = terminatedOf(pod);
  if (node === undefined || selection === undefined || ended === null || ended.exitCode !== 0) return null;
  const devices = devicesIn(ended.message ?? '');
  return devices === null ? null : { node, selection, time: ended.finishedAt ?? '', devices };
}

/** Pods that ended without a report a while ago: away with them, so that they are made again. */
export function isFailedLook(pod: KubeObject, times: Times): boolean {
  const ended = terminatedOf(pod);
  if (ended === null || lookOf(pod) !== null) return false;
  return ended.finishedAt === undefined || times.nowMs - times.parse(ended.finishedAt) > TRY_AGAIN_MS;
}

/** Null: no report of a version that we know. What the resource has no field for is left out. */
function devicesIn(message: string): readonly DeviceReport[] | null {
  try {
    return parseTerminationLog(message).devices.map((found) => {
      const fields = Object.entries(found).filter(([name, value]) => value !== null && device.fields![name] !== undefined);
      return Object.fromEntries(fields) as unknown as DeviceReport;
    });
  } catch {
    return null;
  }
}

function terminatedOf(pod: KubeObject): Terminated | null {
  const status = pod['status'] as
    | { phase?: string; containerStatuses?: readonly { state?: { terminated?: Terminated } }[] }
    | undefined;
  const terminated = status?.containerStatuses?.[0]?.state?.terminated;
  if (terminated !== undefined) return terminated;
  return status?.phase === 'Failed' ? { exitCode: 1 } : null;
}

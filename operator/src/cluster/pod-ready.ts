// Whether a pod serves, and whether it ever ran: read from its status.
import type { KubeObject } from '../api/objects.ts';

interface PodStatus {
  readonly phase?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

export function isPodReady(pod: KubeObject): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  const { conditions } = (pod['status'] ?? {}) as PodStatus;
  return conditions?.find((each) => each.type === 'Ready')?.status === 'True';
}

/** None of its containers has been started. */
export const hasNeverRun = (pod: KubeObject): boolean => ((pod['status'] ?? {}) as PodStatus).phase === 'Pending';

// Conditions as Kubernetes has them: one entry for each type, and the time of its last change of status. Pure; called by reconcilers.

export type ConditionStatus = 'True' | 'False' | 'Unknown';

export interface Condition {
  readonly type: string;
  readonly status: ConditionStatus;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
}

export type ConditionChange = Omit<Condition, 'lastTransitionTime'>;

/** The API server's limit of our schema. */
const MESSAGE_LENGTH_MAX = 32_768;

/**
 * The list with this condition in it. Its time moves only with its status; when nothing differs, the same list comes back.
 * `nowIso`: formatSeconds(world.clock.wallTimeMs()), to the second as the API server keeps it.
 */
export function setCondition(list: readonly Condition[], change: ConditionChange, nowIso: string): readonly Condition[] {
  const message = change.message.slice(0, MESSAGE_LENGTH_MAX);
  const index = list.findIndex((entry) => entry.type === change.type);
  const before = list[index];
  if (before === undefined) return [...list, { ...change, message, lastTransitionTime: nowIso }];
  const lastTransitionTime = before.status === change.status ? before.lastTransitionTime : nowIso;
  const after: Condition = { ...change, message, lastTransitionTime };
  return isSame(before, after) ? list : list.with(index, after);
}

/** The list without a condition that no longer applies. */
export function removeCondition(list: readonly Condition[], type: string): readonly Condition[] {
  return list.some((entry) => entry.type === type) ? list.filter((entry) => entry.type !== type) : list;
}

export function findCondition(list: readonly Condition[] | undefined, type: string): Condition | null {
  return list?.find((entry) => entry.type === type) ?? null;
}

export function isConditionTrue(list: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(list, type)?.status === 'True';
}

function isSame(left: Condition, right: Condition): boolean {
  return (
    left.status === right.status &&
    left.reason === right.reason &&
    left.message === right.message &&
    left.observedGeneration === right.observedGeneration &&
    left.lastTransitionTime === right.lastTransitionTime
  );
}

// Questions about nodes.
import type { NodeView } from './view.ts';

/** Every label of the selector is there, with that value. An empty selector matches every node. */
export function matches(node: NodeView, selector: Readonly<Record<string, string>>): boolean {
  return Object.entries(selector).every(([label, value]) => node.labels[label] === value);
}

const HOSTNAME = 'kubernetes.io/hostname';

/** The value of the failure domain's label, or null where the node has none. */
export function domainOf(node: NodeView, label: string): string | null {
  const value = node.labels[label];
  return value === undefined || value === '' ? (label === HOSTNAME ? node.name : null) : value;
}

export interface NodeChoice {
  readonly nodes: readonly NodeView[];
  /** By ordinal: those that hold the state of earlier ones, and stay; null: none does any more. */
  readonly kept: readonly (string | null)[];
  readonly count: number;
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** Label of the failure domain. */
  readonly label: string;
}

/** By ordinal, a node of its own for each of `count`, null where there are not enough: first in failure domains that have none yet. */
export function chooseNodes({ nodes, kept, count, nodeSelector, label }: NodeChoice): readonly (string | null)[] {
  const candidates = nodes.filter((node) => node.isReady && node.isSchedulable && matches(node, nodeSelector));
  const chosen = Array.from({ length: count }, (_, ordinal) => kept[ordinal] ?? null);
  for (const [ordinal, name] of chosen.entries()) chosen[ordinal] = name ?? leastUsed(candidates, chosen, label)?.name ?? null;
  return chosen;
}

/** One in a failure domain without a chosen one first; by name, so that the choice is the same when it is made again. */
function leastUsed(candidates: readonly NodeView[], chosen: readonly (string | null)[], label: string): NodeView | null {
  const valueOf = (node: NodeView): string => node.labels[label] ?? node.name;
  const used = new Set(candidates.filter((node) => chosen.includes(node.name)).map(valueOf));
  const free = candidates.filter((node) => !chosen.includes(node.name)).sort((a, b) => (a.name < b.name ? -1 : 1));
  return free.find((node) => !used.has(valueOf(node))) ?? free[0] ?? null;
}

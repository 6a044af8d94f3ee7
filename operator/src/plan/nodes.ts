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

// An API server that does what it is told at once, for tests of steps.
import { refOf, type KubeObject, type ObjectRef } from '../../api/objects.ts';
import type { ClusterFrame } from '../../manifests/builders.ts';
import { plainHash } from '../../plan/testing/views.ts';
import type { ClusterView } from '../../plan/view.ts';
import type { Inventory } from '../../runtime/inventory.ts';
import type { Step } from '../steps.ts';

export const keyOf = (ref: ObjectRef): string => `${ref.kind}/${ref.name}`;

export class Shelf implements Inventory {
  readonly objects = new Map<string, KubeObject>();

  get(ref: ObjectRef): KubeObject | null {
    return this.objects.get(keyOf(ref)) ?? null;
  }

  list(_apiVersion: string, kind: string, namespace: string | null, labels: Readonly<Record<string, string>>): KubeObject[] {
    return [...this.objects.values()].filter(
      (object) =>
        object.kind === kind &&
        (namespace === null || object.metadata.namespace === namespace) &&
        Object.entries(labels).every(([label, value]) => object.metadata.labels?.[label] === value),
    );
  }

  perform(step: Step): void {
    if (step.kind === 'delete') this.objects.delete(keyOf(step.ref));
    else this.objects.set(keyOf(refOf(step.object)), step.object);
  }
}

export function frameOf(view: ClusterView): ClusterFrame {
  return { name: view.name, namespace: view.namespace, uid: 'u-1', spec: view.spec, hash: plainHash };
}

// What is in the API server, as a reconciler sees it: the caches of the watches, which may be a moment behind.
import type { KubeObject, ObjectRef } from '../api/objects.ts';

export interface Inventory {
  get(ref: ObjectRef): KubeObject | null;
  /** Of this kind, with all of these labels; `namespace` null: of any, or of none. */
  list(
    apiVersion: string,
    kind: string,
    namespace: string | null,
    labels: Readonly<Record<string, string>>,
  ): readonly KubeObject[];
}

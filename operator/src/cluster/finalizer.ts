// Our finalizer on a resource: put there before anything is made for it, taken away when nothing is left.
import type { KubeObject } from '../api/objects.ts';
import type { KubeClient } from '../kube/client.ts';

/** With the version that was seen, so that another's finalizer is never lost. Error STALE: look again. */
export async function setFinalizer(
  client: KubeClient,
  object: KubeObject,
  name: string,
  isHeld: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { apiVersion, kind, metadata } = object;
  const others = (metadata.finalizers ?? []).filter((each) => each !== name);
  const finalizers = isHeld ? [...others, name] : others;
  const ref = { apiVersion, kind, namespace: metadata.namespace!, name: metadata.name };
  await client.patch(ref, { metadata: { finalizers, resourceVersion: metadata.resourceVersion! } }, { signal });
}

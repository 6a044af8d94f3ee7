// The kinds of version v1alpha1.
import type { Kind } from '../crd.ts';
import { STORAGE_CLUSTER } from './storage-cluster.ts';
import { STORE } from './store.ts';
import { VOLUME } from './volume.ts';

export const KINDS: readonly Kind[] = [STORAGE_CLUSTER, STORE, VOLUME] as readonly Kind[];
export { STORAGE_CLUSTER, STORE, VOLUME };

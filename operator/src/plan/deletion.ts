// Deleting a StorageCluster: refused while it has volumes, until the spec says the phrase. A cluster of which nobody can say whether it has
// volumes counts as one that has.
import { DELETION_PHRASE } from '../api/v1alpha1/storage-cluster.ts';
import type { ClusterView } from './view.ts';

/** Null: nothing stands in its way. */
export function deletionRefusal(view: ClusterView): { readonly reason: string; readonly message: string } | null {
  if (view.isRemoving || view.spec.deletion.confirmation === DELETION_PHRASE) return null;
  const advice = `set spec.deletion.confirmation to "${DELETION_PHRASE}" to destroy them`;
  if (view.control === null) {
    if (!view.wasMade) return null;
    return { reason: 'VolumesUnknown', message: `no conductor answers, so there may be volumes; bring one back, or ${advice}` };
  }
  const { volumeCount } = view.control;
  if (volumeCount === 0) return null;
  return { reason: 'VolumesExist', message: `the cluster has ${volumeCount} volumes; delete them first, or ${advice}` };
}

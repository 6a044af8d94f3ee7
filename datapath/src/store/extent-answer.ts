// What a secondary answers to list_extents: whole objects, as many as fit into one answer, from the disk's tables in memory.
// Refused while a newer configuration waits (writes of the old primary may still land), and for a limited list when there are
// changes above the limit that no stamp tells of: the caller then asks for everything.
import { ExtentListWriter } from '../api/extent-list.ts';
import type { ListExtentsParams } from '../api/routes.ts';
import { PfError } from '../base/errors.ts';
import { EXTENTS_PER_OBJECT, OBJECT_BYTES } from './disk/layout.ts';
import type { Shard } from './shard.ts';

/** Objects looked at in one answer: bounds the time that one call takes. */
const MAX_OBJECTS = 64;

export function answerExtents(shard: Shard, params: ListExtentsParams): Uint8Array {
  const { role } = shard;
  const where = `volume "${shard.volume.name}" shard ${shard.index}`;
  if (role.metaVersion === 0 || role.isClosing) {
    throw new PfError('NOT_READY', `cannot list the extents of ${where}: its configuration is changing; ask again soon`);
  }
  if (params.above > 0 && shard.unstampedUpTo > params.above) {
    throw new PfError(
      'UNSUPPORTED',
      `cannot list the extents of ${where} above sequence ${params.above}: changes up to ${shard.unstampedUpTo} left no stamp; ask for all`,
    );
  }
  const firstObject = Math.max(params.from_object, Math.floor(shard.startOffset / OBJECT_BYTES));
  const endObject = Math.ceil(shard.endOffset / OBJECT_BYTES);
  const writer = new ExtentListWriter();
  let object = firstObject;
  for (; object < endObject && object < firstObject + MAX_OBJECTS && writer.hasRoomFor(EXTENTS_PER_OBJECT); object += 1) {
    for (const extent of shard.extents.list(object, object + 1, params.above)) {
      writer.add(object, extent.extentIndex, extent.written, extent.generation, extent.sequence, extent.blockCrcs, 0);
    }
  }
  return writer.finish(role.metaVersion, object < endObject ? object : null);
}

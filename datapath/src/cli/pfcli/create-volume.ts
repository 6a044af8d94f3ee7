import { verb, VOLUME_FLAG } from './verb.ts';
import { volumeTable } from './volume-table.ts';

export const createVolume = verb(
  {
    name: 'pfcli create_volume',
    summary: 'Create a thin volume: space is taken as it is written.',
    flags: {
      volume: VOLUME_FLAG,
      size: { kind: 'size', short: 's', isRequired: true, help: 'its size, a multiple of 4K: 128G' },
      rep: { kind: 'integer', short: 'r', minimum: 1, maximum: 3, default: 1, help: 'how many replicas, each on another host' },
      shardSize: { kind: 'size', help: 'size of a shard, a multiple of 64M (default: 64G)' },
    },
    examples: ['pfcli create_volume -v test_v1 -s 128G --rep 3'],
  },
  async (context, flags) => {
    const reply = await context.conductor.createVolume(flags.volume, {
      sizeBytes: flags.size,
      replicaCount: flags.rep,
      ...(flags.shardSize === undefined ? {} : { shardSizeBytes: flags.shardSize }),
    });
    context.print(reply, () => volumeTable([reply]));
    return 0;
  },
);

import { verb, VOLUME_FLAG } from './verb.ts';
import { volumeTable } from './volume-table.ts';

export const resizeVolume = verb(
  {
    name: 'pfcli resize_volume',
    summary: 'Make a volume larger, also while it is in use. Clients that have it open see the new size when they open it again.',
    flags: {
      volume: VOLUME_FLAG,
      size: {
        kind: 'size',
        short: 's',
        isRequired: true,
        help: 'its new size, a multiple of 4K and not below the one it has: 256G',
      },
    },
    examples: ['pfcli resize_volume -v test_v1 -s 256G'],
  },
  async (context, flags) => {
    const reply = await context.conductor.resizeVolume(flags.volume, flags.size);
    context.print(reply, () => volumeTable([reply]));
    return 0;
  },
);

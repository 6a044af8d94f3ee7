import { verb, VOLUME_FLAG } from './verb.ts';

export const deleteVolume = verb(
  {
    name: 'pfcli delete_volume',
    summary: 'Delete a volume and its data on all stores. Nothing asks again.',
    flags: { volume: VOLUME_FLAG, force: { kind: 'boolean', help: 'also while a client has it attached for writing' } },
    examples: ['pfcli delete_volume -v test_v1'],
  },
  async (context, flags) => {
    const reply = await context.conductor.deleteVolume(flags.volume, { force: flags.force });
    context.print(reply, () => {
      const pending = reply.pending_stores.length;
      const rest = pending === 0 ? '' : `; ${pending} store(s) cannot be reached and will free its space when they return`;
      return `volume ${flags.volume} deleted${rest}`;
    });
    return 0;
  },
);

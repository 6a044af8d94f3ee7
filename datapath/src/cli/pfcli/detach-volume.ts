import { verb, VOLUME_FLAG } from './verb.ts';

export const detachVolume = verb(
  {
    name: 'pfcli detach_volume',
    summary: 'Take a volume away from the client that has it attached for writing. None of its requests succeeds afterwards.',
    flags: {
      volume: VOLUME_FLAG,
      client: { kind: 'string', placeholder: 'NAME', help: 'only if this one has it attached' },
    },
    examples: ['pfcli detach_volume -v test_v1'],
  },
  async (context, flags) => {
    const reply = await context.conductor.detachVolume(flags.volume, flags.client === undefined ? {} : { client: flags.client });
    context.print(reply, ({ attached_to, attach_epoch }) =>
      attached_to === null
        ? `volume ${flags.volume} is attached to nobody, attach epoch ${attach_epoch}`
        : `volume ${flags.volume} stays attached to ${attached_to}, attach epoch ${attach_epoch}`,
    );
    return 0;
  },
);

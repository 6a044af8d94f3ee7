import { formatAddress } from '../../world/network.ts';
import { listenAddress } from '../nbd-serve-command.ts';
import { serveNbd } from '../../nbd/server.ts';
import { openBlockSource } from '../block-sources.ts';
import { formatSize } from '../../base/sizes.ts';
import { verb, VOLUME_FLAG } from './verb.ts';

export const exportVolume = verb(
  {
    name: 'pfcli export_volume',
    summary: 'Serve a volume over NBD in the foreground, until Ctrl-C.',
    flags: {
      volume: VOLUME_FLAG,
      unix: { kind: 'string', placeholder: 'PATH', help: 'listen on a unix socket' },
      tcp: { kind: 'tcp-address', help: 'listen on TCP, such as 127.0.0.1:10809' },
      readOnly: { kind: 'boolean', help: 'refuse writes, and leave other writers alone' },
    },
    examples: ['pfcli export_volume -v test_v1 --unix /tmp/test_v1.sock'],
  },
  async (context, flags) => {
    const address = listenAddress(flags.unix, flags.tcp);
    const world = await context.openWholeWorld();
    // The address first: attaching the volume fences its other writers, which a command that cannot serve must not do.
    const server = await serveNbd(world, { address, exports: [] });
    const { device } = await openBlockSource(world, `volume:${flags.volume}`, {
      conductors: context.conductorAddresses,
      isReadOnly: flags.readOnly,
      client: context.hostName,
    });
    server.addExport({ name: flags.volume, description: `PureFlash volume ${flags.volume}`, device });
    context.print(
      { volume_name: flags.volume, address: formatAddress(address), size: device.sizeBytes },
      (reply) => `serving volume ${reply.volume_name} (${formatSize(reply.size)}) over NBD on ${reply.address}; Ctrl-C ends it`,
    );
    await context.interrupted;
    await server.close();
    await device.close();
    return 0;
  },
);

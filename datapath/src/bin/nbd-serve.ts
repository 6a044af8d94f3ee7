// nbd-serve: serves one block device to NBD clients until it is told to stop. With --store-disk a store runs in the same process:
// a volume whose primary it is takes no network.
import { hostname } from 'node:os';
import { conductorAddresses } from '../cli/conductor-flag.ts';
import { listenAddress, NBD_SERVE } from '../cli/nbd-serve-command.ts';
import { tokenFileOf } from '../cli/token-flag.ts';
import { serveNbd } from '../nbd/index.ts';
import { formatAddress } from '../world/network.ts';
import { openApiWorld } from './open-api-world.ts';
import { openSource, startOwnStore } from './nbd-serve-store.ts';
import { sharedContentsFor, startThreads } from './nbd-serve-threads.ts';
import { runDaemon } from './run-daemon.ts';

await runDaemon(NBD_SERVE, async ({ flags, arguments: words }, log) => {
  const [name, address] = [words[0]!, listenAddress(flags.unix, flags.tcp)];
  const shared = sharedContentsFor(name, flags.threads);
  const { readOnly: isReadOnly, connections, export: exportName, busyPollUs } = flags;
  const conductors = conductorAddresses(flags.conductor, process.env);
  const world = await openApiWorld(tokenFileOf(flags.tokenFile, process.env), { busyPollUs, log });
  const store = flags.storeDisk.length === 0 ? null : await startOwnStore(world, flags, conductors);
  // The address first: attaching a volume fences its other writers, which a command that cannot serve must not do.
  const server = await serveNbd(world, { address, exports: [] });
  const options = { isReadOnly, conductors, connections, client: flags.client ?? hostname(), ...shared };
  const source = await openSource(world, name, options, store).catch((error) => server.close().then(() => Promise.reject(error)));
  server.addExport({ name: exportName, device: source.device });
  const threads = await startThreads(flags.threads - 1, server, { source: name, exportName, isReadOnly, busyPollUs, ...shared });
  return {
    world,
    title: `serving ${source.title} on ${formatAddress(server.address!)}`,
    dump: () => ({
      source: source.title,
      address: formatAddress(server.address!),
      exportName,
      isReadOnly,
      store: store?.dump() ?? null,
    }),
    close: async () => {
      await threads.stop();
      await server.close();
      await source.device.close();
      await store?.close();
    },
  };
});

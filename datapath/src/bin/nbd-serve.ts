// nbd-serve: serves one block device to NBD clients until it is told to stop. With --store-disk a store runs in the same process:
// a volume whose primary it is takes no network.
import { errorCodeOf, formatErrorChain } from '../base/errors.ts';
import { exitCodeOf } from '../api/errors.ts';
import { formatHostPort } from '../api/host-port.ts';
import { openBlockSource, type BlockSource, type BlockSourceOptions } from '../cli/block-sources.ts';
import { conductorAddresses } from '../cli/conductor-flag.ts';
import { parseDiskFlag } from '../cli/disk-flag.ts';
import { parseFlags } from '../cli/flags.ts';
import { listenAddress, NBD_SERVE, type NbdServeFlags } from '../cli/nbd-serve-command.ts';
import { serveNbd } from '../nbd/index.ts';
import { startStore, type Store } from '../store/store.ts';
import { formatAddress } from '../world/network.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import type { World } from '../world/world.ts';
import { sharedContentsFor, startThreads } from './nbd-serve-threads.ts';

/** How long a volume may take to appear at a conductor that knows the store in this process. */
const VOLUME_PATIENCE_MS = 60_000;

async function main(): Promise<void> {
  const command = parseFlags(NBD_SERVE, process.argv.slice(2));
  if (command.isHelp) {
    process.stdout.write(command.helpText);
    return;
  }
  const { flags, arguments: words } = command;
  const [name, address] = [words[0]!, listenAddress(flags.unix, flags.tcp)];
  const shared = sharedContentsFor(name, flags.threads);
  const { readOnly: isReadOnly, connections, export: exportName, busyPollUs } = flags;
  const conductors = conductorAddresses(flags.conductor, process.env);
  const world = await openNodeWorld({ busyPollUs });
  const store = flags.storeDisk.length === 0 ? null : await startOwnStore(world, flags, conductors);
  // The address first: attaching a volume fences its other writers, which a command that cannot serve must not do.
  const server = await serveNbd(world, { address, exports: [] });
  const options = { isReadOnly, conductors, connections, ...shared };
  const source = await openSource(world, name, options, store).catch((error) => server.close().then(() => Promise.reject(error)));
  server.addExport({ name: exportName, device: source.device });
  const threads = await startThreads(flags.threads - 1, server, { source: name, exportName, isReadOnly, busyPollUs, ...shared });
  process.stdout.write(`nbd-serve: serving ${source.title} on ${formatAddress(server.address!)}\n`);
  const stop = async (): Promise<void> => {
    await threads.stop();
    await server.close();
    await source.device.close();
    await store?.close();
    await world.close();
  };
  process.once('SIGINT', () => void stop());
  process.once('SIGTERM', () => void stop());
}

async function startOwnStore(world: World, flags: NbdServeFlags, conductors: readonly string[]): Promise<Store> {
  const store = await startStore(world, {
    disks: flags.storeDisk.map(parseDiskFlag),
    host: flags.storeHost,
    dataAddress: formatHostPort(flags.storeData.host, flags.storeData.port),
    httpAddress: formatHostPort(flags.storeHttp.host, flags.storeHttp.port),
    conductors,
    format: 'blank-only',
  });
  await store.registered;
  return store;
}

/** With a store of our own the volume may still have to be created: it needs that store. */
async function openSource(world: World, name: string, options: BlockSourceOptions, store: Store | null): Promise<BlockSource> {
  if (store === null) return openBlockSource(world, name, options);
  const deadline = world.clock.now() + VOLUME_PATIENCE_MS;
  for (;;) {
    try {
      return await openBlockSource(world, name, { ...options, localLink: { storeId: store.storeId, link: store.link } });
    } catch (error) {
      if (errorCodeOf(error) !== 'NOT_FOUND' || world.clock.now() >= deadline) throw error;
    }
    await world.clock.sleep(100);
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`nbd-serve: ${formatErrorChain(error)}\n`);
  process.exit(exitCodeOf(errorCodeOf(error)));
});

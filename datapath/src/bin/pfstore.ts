// pfstore: one store daemon. Serves the replicas on its disks until SIGINT or SIGTERM.
import { formatHostPort } from '../api/host-port.ts';
import { disksOf, STORE_COMMAND } from '../cli/store-command.ts';
import { startStore } from '../store/store.ts';
import { openApiWorld } from './open-api-world.ts';
import { runDaemon } from './run-daemon.ts';
import { storeAddresses } from './store-addresses.ts';

await runDaemon(STORE_COMMAND, async ({ flags }, log) => {
  const { disk, host, http, advertise, conductor, format, erase, legacyClients, busyPollUs, recoveryParallel } = flags;
  const disks = disksOf(disk, format === 'force', erase);
  const addresses = storeAddresses(flags);
  const world = await openApiWorld(flags.tokenFile, { busyPollUs, log });
  const store = await startStore(world, {
    disks,
    host,
    ...addresses,
    httpAddress: formatHostPort(http.host, http.port),
    conductors: conductor,
    format: format === 'blank' ? 'blank-only' : format,
    servesLegacyClients: legacyClients === true,
    recoveryParallel,
    ...(advertise === undefined ? {} : { advertisedHost: advertise }),
  });
  return {
    world,
    title: `store ${store.storeUuid} serves data on ${store.dataAddress}, management on http://${store.httpAddress}/`,
    apply: (changed) => store.setRecoveryParallel(changed.recoveryParallel),
    dump: () => store.dump(),
    close: () => store.close(),
  };
});

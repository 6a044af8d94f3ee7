// pfstore: one store daemon. Serves the replicas on its disks until SIGINT or SIGTERM.
import { errorCodeOf, formatErrorChain } from '../base/errors.ts';
import { exitCodeOf } from '../api/errors.ts';
import { formatHostPort } from '../api/host-port.ts';
import { parseFlags } from '../cli/flags.ts';
import { disksOf, STORE_COMMAND } from '../cli/store-command.ts';
import { startStore } from '../store/store.ts';
import { jsonLogger } from '../world/node/console-log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';

async function main(): Promise<void> {
  const command = parseFlags(STORE_COMMAND, process.argv.slice(2));
  if (command.isHelp) {
    process.stdout.write(command.helpText);
    return;
  }
  const { disk, host, data, http, advertise, conductor, format, erase, legacyClients, busyPollUs, logLevel } = command.flags;
  const disks = disksOf(disk, format === 'force', erase);
  const world = await openNodeWorld({ busyPollUs, log: jsonLogger({ level: logLevel }) });
  const store = await startStore(world, {
    disks,
    host,
    dataAddress: formatHostPort(data.host, data.port),
    httpAddress: formatHostPort(http.host, http.port),
    conductors: conductor,
    format: format === 'blank' ? 'blank-only' : format,
    servesLegacyClients: legacyClients === true,
    ...(advertise === undefined ? {} : { advertisedHost: advertise }),
  });
  const { storeUuid, dataAddress, httpAddress } = store;
  process.stdout.write(`pfstore: store ${storeUuid} serves data on ${dataAddress}, management on http://${httpAddress}/\n`);
  const stop = async (): Promise<void> => {
    await store.close();
    await world.close();
  };
  process.once('SIGINT', () => void stop());
  process.once('SIGTERM', () => void stop());
}

main().catch((error: unknown) => {
  process.stderr.write(`pfstore: ${formatErrorChain(error)}\n`);
  // An open world would keep the process alive.
  process.exit(exitCodeOf(errorCodeOf(error)));
});

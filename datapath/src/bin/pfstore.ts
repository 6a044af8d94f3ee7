// pfstore: one store daemon. Serves the replicas on its disks until SIGINT or SIGTERM.
import { errorCodeOf, formatErrorChain, PfError } from '../base/errors.ts';
import { exitCodeOf } from '../api/errors.ts';
import { formatHostPort } from '../api/host-port.ts';
import { STORE_HTTP_PORT } from '../api/model.ts';
import { parseFlags, type CommandSpec } from '../cli/flags.ts';
import { parseDiskFlag } from '../cli/nbd-serve-command.ts';
import { startStore } from '../store/store.ts';
import { DATA_TCP_PORT } from '../wire/messages.ts';
import { jsonLogger } from '../world/node/console-log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';

const COMMAND = {
  name: 'pfstore',
  summary: 'Runs a store: keeps replicas of volumes on its disks and serves them to clients and other stores.',
  flags: {
    disk: { kind: 'list', help: 'block device, or file that is created with this size; repeatable', placeholder: 'PATH[=SIZE]', isRequired: true },
    host: { kind: 'string', help: 'failure domain: replicas are spread over hosts', placeholder: 'NAME', isRequired: true },
    data: { kind: 'tcp-address', help: 'where to serve data', default: { kind: 'tcp', host: '0.0.0.0', port: DATA_TCP_PORT } },
    http: { kind: 'tcp-address', help: 'where to serve management and metrics', default: { kind: 'tcp', host: '0.0.0.0', port: STORE_HTTP_PORT } },
    advertise: { kind: 'string', help: 'host name or address that others reach; the listening host by default', placeholder: 'HOST' },
    conductor: { kind: 'list', help: 'address of a conductor; repeatable', placeholder: 'HOST:PORT', isRequired: true },
    format: { kind: 'string', help: 'which disks to format: blank ones, none, or all whatever they hold', choices: ['blank', 'never', 'force'], default: 'blank' },
    erase: { kind: 'list', help: 'with --format force: each disk again, to confirm that it may be erased; repeatable', placeholder: 'PATH' },
    legacyClients: { kind: 'boolean', help: 'serve protocol version 1 clients, which carry no token' },
    logLevel: { kind: 'string', help: 'what to log', choices: ['debug', 'info', 'warn', 'error'], default: 'info' },
  },
  examples: ['pfstore --disk /dev/nvme1n1 --host rack1-a --advertise 10.0.0.7 --conductor 10.0.0.1:49180', 'pfstore --disk ./disk.img=8G --host a --data 127.0.0.1:0 --http 127.0.0.1:0 --conductor 127.0.0.1:49180'],
} as const satisfies CommandSpec;

async function main(): Promise<void> {
  const command = parseFlags(COMMAND, process.argv.slice(2));
  if (command.isHelp) {
    process.stdout.write(command.helpText);
    return;
  }
  const { disk, host, data, http, advertise, conductor, format, erase, legacyClients, logLevel } = command.flags;
  const disks = disk.map(parseDiskFlag);
  const unconfirmed = disks.find(({ path }) => format === 'force' && !erase.includes(path));
  if (unconfirmed !== undefined) {
    throw new PfError('INVALID_ARGUMENT', `pfstore: --format force erases "${unconfirmed.path}": confirm it with --erase ${unconfirmed.path}`);
  }
  const world = await openNodeWorld({ log: jsonLogger({ level: logLevel }) });
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
  process.stdout.write(`pfstore: store ${store.storeUuid} serves data on ${store.dataAddress}, management on http://${store.httpAddress}/\n`);
  const stop = async (): Promise<void> => {
    await store.close();
    await world.close();
  };
  process.once('SIGINT', () => void stop());
  process.once('SIGTERM', () => void stop());
}

main().catch((error: unknown) => {
  process.stderr.write(`pfstore: ${formatErrorChain(error)}\n`);
  process.exit(exitCodeOf(errorCodeOf(error)));
});

// pfconductor: the cluster's decisions. Serves the control plane and the status page until SIGINT or SIGTERM.
import { formatErrorChain, errorCodeOf } from '../base/errors.ts';
import { exitCodeOf } from '../api/errors.ts';
import { CONDUCTOR_HTTP_PORT } from '../api/model.ts';
import type { CommandSpec } from '../cli/flag-spec.ts';
import { parseFlags } from '../cli/flags.ts';
import { startConductor } from '../conductor/conductor.ts';
import { jsonLogger } from '../world/node/console-log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';

const COMMAND = {
  name: 'pfconductor',
  summary:
    'Runs a conductor: keeps the cluster state, places volumes, decides failovers. The page for people is at its HTTP address.',
  flags: {
    data: { kind: 'string', help: 'folder of the durable state, created when missing', placeholder: 'DIR', isRequired: true },
    listen: {
      kind: 'tcp-address',
      help: 'where to serve HTTP; port 0 takes any',
      default: { kind: 'tcp', host: '0.0.0.0', port: CONDUCTOR_HTTP_PORT },
    },
    cluster: {
      kind: 'string',
      help: 'name of a new cluster; an existing one keeps its name',
      placeholder: 'NAME',
      default: 'pureflash',
    },
    allowSameHost: { kind: 'boolean', help: 'replicas of a shard may be on different stores of one host' },
    logLevel: { kind: 'string', help: 'what to log', choices: ['debug', 'info', 'warn', 'error'], default: 'info' },
  },
  examples: [
    'pfconductor --data /var/lib/pureflash/conductor',
    'pfconductor --data ./data --listen 127.0.0.1:49180 --allow-same-host',
  ],
} as const satisfies CommandSpec;

/** The conductor uses HTTP and files only: no ring, and hardly any I/O memory. */
const MEMORY_BYTES = 8 * 1024 * 1024;

async function main(): Promise<void> {
  const command = parseFlags(COMMAND, process.argv.slice(2));
  if (command.isHelp) {
    process.stdout.write(command.helpText);
    return;
  }
  const { data, listen, cluster, allowSameHost, logLevel } = command.flags;
  const world = await openNodeWorld({ ports: 'libuv', memoryBytes: MEMORY_BYTES, log: jsonLogger({ level: logLevel }) });
  const conductor = await startConductor(world, {
    dataFolder: data,
    host: listen.host,
    port: listen.port,
    clusterName: cluster,
    allowSameHost: allowSameHost === true,
  });
  process.stdout.write(`pfconductor: cluster ${conductor.state.cluster!.name} on http://${conductor.address}/\n`);
  const stop = async (): Promise<void> => {
    await conductor.close();
    await world.close();
  };
  process.once('SIGINT', () => void stop());
  process.once('SIGTERM', () => void stop());
  void conductor.failed.then(async (error) => {
    process.exitCode = exitCodeOf(errorCodeOf(error));
    await stop();
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`pfconductor: ${formatErrorChain(error)}\n`);
  // An open world would keep the process alive.
  process.exit(exitCodeOf(errorCodeOf(error)));
});

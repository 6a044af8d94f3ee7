// pureflash-operator: turns StorageCluster resources into running clusters. One of several leads; the others wait.
import { exitCodeOf } from '@pureflash/datapath/api';
import { errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import { parseFlags, type CommandSpec } from '@pureflash/datapath/cli';
import { openNodeWorld } from '@pureflash/datapath/world';
import { CSI_ROLE, runOperator } from '../kube/operator.ts';

const COMMAND = {
  name: 'pureflash-operator',
  summary: 'Turns StorageCluster resources into running clusters.',
  flags: {
    kubeconfig: { kind: 'string', help: 'default: that of its pod, KUBECONFIG, or ~/.kube/config', placeholder: 'PATH' },
    namespace: { kind: 'string', help: 'the only namespace to look at; default: all', placeholder: 'NAME' },
    leaseNamespace: {
      kind: 'string',
      help: "where the election's Lease lies; default: the namespace of its pod",
      placeholder: 'NAME',
    },
    leaseSeconds: {
      kind: 'integer',
      help: 'how long a leader that died keeps the others waiting',
      minimum: 2,
      maximum: 600,
      default: 15,
    },
    csiRole: {
      kind: 'string',
      help: 'ClusterRole for CSI controllers; a second one, with "-leases" after its name, for their elections',
      placeholder: 'NAME',
      default: CSI_ROLE,
    },
    loopDevices: { kind: 'boolean', help: 'loop devices count as devices of a host: for laboratories only' },
  },
} as const satisfies CommandSpec;

/** It talks to API servers and conductors, and holds no data. */
const MEMORY_BYTES = 4 * 1024 * 1024;

async function main(): Promise<void> {
  const command = parseFlags(COMMAND, process.argv.slice(2));
  if (command.isHelp) {
    process.stdout.write(command.helpText);
    return;
  }
  const { kubeconfig, namespace, leaseNamespace, leaseSeconds, csiRole, loopDevices } = command.flags;
  const world = await openNodeWorld({ ports: 'libuv', memoryBytes: MEMORY_BYTES });
  const ending = new AbortController();
  process.once('SIGTERM', () => ending.abort());
  process.once('SIGINT', () => ending.abort());
  const options = {
    namespace: namespace ?? null,
    leaseMs: leaseSeconds * 1000,
    csiRole,
    looksAtLoops: loopDevices === true,
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(leaseNamespace === undefined ? {} : { leaseNamespace }),
  };
  await runOperator(world, options, ending.signal);
  await world.close();
}

main().catch((error: unknown) => {
  process.stderr.write(`pureflash-operator: ${formatErrorChain(error)}\n`);
  process.exit(exitCodeOf(errorCodeOf(error)));
});

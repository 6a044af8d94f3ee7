// pureflash-operator: turns StorageCluster resources into running clusters. One of several leads; the others wait.
import { exitCodeOf } from '@pureflash/datapath/api';
import { errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import { openNodeWorld } from '@pureflash/datapath/world';
import { parseArgs } from 'node:util';
import { KubeOperator } from '../kube/operator.ts';

const HELP = `Usage: pureflash-operator [FLAGS]

Turns StorageCluster resources into running clusters.

Flags:
      --kubeconfig PATH       default: that of its pod, KUBECONFIG, or ~/.kube/config
      --namespace NAME        the only namespace to look at; default: all
      --lease-namespace NAME  where the Lease of the election lies; default: the namespace of its pod
  -h, --help                  show this text
`;

const { values } = parseArgs({
  options: {
    kubeconfig: { type: 'string' },
    namespace: { type: 'string' },
    'lease-namespace': { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});

async function main(): Promise<void> {
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 * 1024 });
  const operator = await KubeOperator.start(world, {
    namespace: values.namespace ?? null,
    ...(values.kubeconfig === undefined ? {} : { kubeconfig: values.kubeconfig }),
    ...(values['lease-namespace'] === undefined ? {} : { leaseNamespace: values['lease-namespace'] }),
  });
  const stop = async (): Promise<void> => {
    await operator.close();
    await world.close();
  };
  process.once('SIGTERM', () => void stop());
  process.once('SIGINT', () => void stop());
  await operator.elected;
  operator.lost.addEventListener('abort', () => process.exit(exitCodeOf('FENCED')));
}

main().catch((error: unknown) => {
  process.stderr.write(`pureflash-operator: ${formatErrorChain(error)}\n`);
  process.exit(exitCodeOf(errorCodeOf(error)));
});

// The store as a managed daemon: pfstore, one on each node.
import type { DaemonKind } from '@pureflash/datapath/daemon';
import { daemonCommand, restartPart } from './daemon-command.ts';

export function storeKind(programs: string): DaemonKind {
  return {
    kind: 'store',
    scope: 'node',
    define: (name, config) => ({
      name,
      config,
      restartPart: restartPart(config, ['logLevel', 'recoveryParallel']),
      command: (place) => daemonCommand(programs, 'pfstore', place),
    }),
  };
}

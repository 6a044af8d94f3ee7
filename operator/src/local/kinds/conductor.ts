// The conductor as a managed daemon: pfconductor, some in the cluster.
import type { DaemonKind } from '@pureflash/datapath/daemon';
import { daemonCommand, restartPart } from './daemon-command.ts';

export function conductorKind(programs: string): DaemonKind {
  return {
    kind: 'conductor',
    scope: 'cluster',
    define: (name, config) => ({
      name,
      config,
      restartPart: restartPart(config, ['logLevel']),
      command: (place) => daemonCommand(programs, 'pfconductor', place),
    }),
  };
}

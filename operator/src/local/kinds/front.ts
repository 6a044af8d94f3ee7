// A volume's NBD export as a managed daemon: nbd-serve, one for each volume that is served. The name of the service says which.
import type { DaemonKind } from '@pureflash/datapath/daemon';
import { daemonCommand, restartPart } from './daemon-command.ts';

export function frontKind(programs: string): DaemonKind {
  return {
    kind: 'front',
    scope: 'volume',
    define: (name, config) => ({
      name,
      config,
      restartPart: restartPart(config, ['logLevel']),
      command: (place) => daemonCommand(programs, 'nbd-serve', place, [`volume:${name.slice(name.indexOf('/') + 1)}`]),
    }),
  };
}

// The pod of a managed MariaDB server, alone or of a Galera cluster.
import type { ManagedServersSpec } from '../api/v1alpha1/metadata-servers.ts';
import type { ServerGroup } from '../plan/cluster-plan.ts';
import type { ClusterFrame } from './cluster-frame.ts';
import { GALERA_PORTS } from './galera-files.ts';
import { MARIADB_CONFIG, MARIADB_DATA, MARIADB_PORT, MARIADB_RUN, MARIADB_SECRET } from './mariadb-paths.ts';
import { serversName } from './server-names.ts';
import { POD_ENV, serverPod } from './server-pod.ts';

/** Of the user "mysql" in the official image. */
const USER_ID = 999;
/** Crash recovery of a large log, or a whole copy from another server. */
const START_SECONDS = 3600;

export function mariadbPod(frame: ClusterFrame, group: ServerGroup, managed: ManagedServersSpec): object {
  const script = (name: string): readonly string[] => ['bash', `${MARIADB_CONFIG}/${name}`];
  const galera = Object.entries(GALERA_PORTS).map(([name, containerPort]) => ({ name, containerPort, protocol: 'TCP' as const }));
  return serverPod(frame, {
    group,
    managed,
    userId: USER_ID,
    graceSeconds: 120,
    dataFolder: MARIADB_DATA,
    configFolder: MARIADB_CONFIG,
    prepare: script('prepare.sh'),
    container: {
      name: 'mariadb',
      command: script('start.sh'),
      env: POD_ENV,
      ports: [{ name: 'mariadb', containerPort: MARIADB_PORT, protocol: 'TCP' }, ...(group.count > 1 ? galera : [])],
      ready: script('ready.sh'),
      alive: script('alive.sh'),
      startSeconds: START_SECONDS,
    },
    mounts: [
      { name: 'secret', mountPath: MARIADB_SECRET, readOnly: true },
      { name: 'run', mountPath: MARIADB_RUN },
    ],
    volumes: [
      // Readable for the group, which fsGroup is.
      { name: 'secret', secret: { secretName: serversName(frame, 'mariadb'), defaultMode: 0o440 } },
      { name: 'run', emptyDir: { medium: 'Memory' } },
    ],
  });
}

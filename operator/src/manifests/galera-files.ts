// What is different where MariaDB is a Galera cluster of three.
// Founding: the very first start of a cluster, and that of a server that left last and in order, begin a cluster of one; everybody else joins.
// After a crash of all, Galera finds the last members again by itself (pc.recovery). A first server whose disk was lost must not found a
// second cluster beside the first: the operator says in the file "founding" whether there has ever been one.
import { MARIADB_CONFIG, MARIADB_DATA, MARIADB_PROBE_LOGIN, MARIADB_RUN, MARIADB_SECRET } from './mariadb-paths.ts';

export const GALERA_PORTS = { replication: 4567, incremental: 4568, snapshot: 4444 } as const;

const settings = (hosts: readonly string[]): readonly string[] => [
  'wsrep-on=ON',
  'wsrep-provider=/usr/lib/galera/libgalera_smm.so',
  'wsrep-cluster-name=pureflash',
  `wsrep-cluster-address=gcomm://${hosts.join(',')}`,
  'wsrep-sst-method=mariabackup',
  'wsrep-sync-wait=1',
  'binlog-format=ROW',
  'innodb-autoinc-lock-mode=2',
];

const START = `#!/bin/bash
set -eu
${MARIADB_PROBE_LOGIN}
printf '!include ${MARIADB_CONFIG}/my.cnf\\n[mariadbd]\\nwsrep-sst-auth=replication:%s\\n' "$(cat ${MARIADB_SECRET}/replication-password)" \\
  >${MARIADB_RUN}/my.cnf
state=${MARIADB_DATA}/db/grastate.dat
role=
if [ -f $state ]; then
  if grep -q '^safe_to_bootstrap: 1' $state; then role=--wsrep-new-cluster; fi
elif [ "\${POD_NAME##*-}" = 0 ] && [ "$(cat ${MARIADB_CONFIG}/founding)" = allowed ]; then
  role=--wsrep-new-cluster
fi
exec mariadbd --defaults-file=${MARIADB_RUN}/my.cnf --bind-address=$POD_IP --wsrep-node-name=$POD_NAME --wsrep-node-address=$POD_IP \\
  --wsrep-provider-options="gmcast.listen_addr=tcp://$POD_IP:${GALERA_PORTS.replication};ist.recv_addr=$POD_IP" $role
`;

const READY = `#!/bin/bash
# Ready: in the primary component, and synced: what it commits is everywhere.
state=$(mariadb --defaults-file=${MARIADB_RUN}/probe.cnf --batch --skip-column-names \\
  --execute "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status')") || exit 1
grep -Eq '^wsrep_ready[[:space:]]ON$' <<<"$state" && grep -Eq '^wsrep_cluster_status[[:space:]]Primary$' <<<"$state"
`;

export const GALERA_FILES = { settings, start: START, ready: READY } as const;

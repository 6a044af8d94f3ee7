// What a MariaDB server of ours is configured and started with, as the files of a ConfigMap. Passwords are in a Secret beside them, and go
// through pipes and files in memory only: never through arguments or logs. Paths are those inside the container.
//   prepare.sh   before each start: makes the database once, whole or not at all; brings the users in line with the Secret
//   start.sh     the server. Of a Galera cluster, only a server that may founds it; see "founding" below
import { GALERA_FILES } from './galera-files.ts';
import { MARIADB_CONFIG, MARIADB_DATA, MARIADB_PORT, MARIADB_PROBE_LOGIN, MARIADB_RUN, MARIADB_SECRET } from './mariadb-paths.ts';

/** `hosts`: where the others find each server, by ordinal. One: no Galera. */
export function mariadbFiles(hosts: readonly string[], mayFound: boolean): Readonly<Record<string, string>> {
  const isGalera = hosts.length > 1;
  return {
    'my.cnf': [...SETTINGS, ...(isGalera ? GALERA_FILES.settings(hosts) : []), ''].join('\n'),
    'prepare.sh': PREPARE,
    'start.sh': isGalera ? GALERA_FILES.start : START,
    'ready.sh': isGalera ? GALERA_FILES.ready : READY,
    'alive.sh': ALIVE,
    ...(isGalera ? { founding: mayFound ? 'allowed\n' : 'done\n' } : {}),
  };
}

/** A commit that was answered is on the disk. */
const SETTINGS = [
  '[mariadbd]',
  `datadir=${MARIADB_DATA}/db`,
  `socket=${MARIADB_RUN}/mariadbd.sock`,
  `pid-file=${MARIADB_RUN}/mariadbd.pid`,
  'tmpdir=/tmp',
  `port=${MARIADB_PORT}`,
  'skip-name-resolve',
  'skip-log-bin',
  'local-infile=0',
  'default-storage-engine=InnoDB',
  'character-set-server=utf8mb4',
  'collation-server=utf8mb4_bin',
  'max-connections=200',
  'innodb-buffer-pool-size=256M',
  'innodb-flush-log-at-trx-commit=1',
  'innodb-doublewrite=ON',
];

/** Only the data's own file system is synced: a host of storage may have others that hang. */
const PREPARE = `#!/bin/bash
set -eu -o pipefail
umask 077
data=${MARIADB_DATA}
if [ ! -d $data/db ]; then
  # Who dies before the last line of this begins again.
  rm -rf $data/new
  mkdir $data/new
  mariadb-install-db --no-defaults --force --skip-name-resolve --datadir=$data/new --auth-root-authentication-method=normal \\
    --skip-test-db >/tmp/install.log 2>&1 || { cat /tmp/install.log >&2; exit 1; }
  rm -f $data/users
  sync -f $data
  mv $data/new $data/db
fi
password() { cat ${MARIADB_SECRET}/$1-password; }
user() { printf "CREATE USER IF NOT EXISTS %s;\\nALTER USER %s IDENTIFIED BY '%s';\\n" "$1" "$1" "$(password "$2")"; }
users() {
  echo 'FLUSH PRIVILEGES;'
  user root@localhost root
  user monitor@localhost monitor
  user replication@localhost replication
  echo 'GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICATION SLAVE ADMIN ON *.* TO replication@localhost;'
  user conductor@"'%'" conductor
  echo 'CREATE DATABASE IF NOT EXISTS pureflash;'
  echo "GRANT ALL ON pureflash.* TO conductor@'%';"
}
wanted=$(users | sha256sum)
if [ "$(cat $data/users 2>/dev/null)" != "$wanted" ]; then
  # Its complaint of a statement would quote it.
  users | mariadbd --no-defaults --bootstrap --datadir=$data/db --tmpdir=/tmp --skip-log-bin 2>&1 | sed -E 's/^(ERROR: *[0-9]+).*/\\1/'
  sync -f $data
  echo "$wanted" >$data/users
fi
`;

const START = `#!/bin/bash
set -eu
${MARIADB_PROBE_LOGIN}
exec mariadbd --defaults-file=${MARIADB_CONFIG}/my.cnf --bind-address=$POD_IP
`;

const READY = `#!/bin/bash
# Ready: lets a user in, and answers.
mariadb --defaults-file=${MARIADB_RUN}/probe.cnf --batch --skip-column-names --execute 'SELECT 1' >/dev/null
`;

const ALIVE = `#!/bin/bash
mariadb-admin --defaults-file=${MARIADB_RUN}/probe.cnf ping >/dev/null
`;

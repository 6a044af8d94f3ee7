// Where things of a MariaDB server lie in its container, and how its probes log in.

export const MARIADB_CONFIG = '/etc/pureflash-mariadb';
export const MARIADB_SECRET = '/etc/pureflash-mariadb-secret';
export const MARIADB_DATA = '/data';
/** In memory. */
export const MARIADB_RUN = '/run/pureflash-mariadb';
export const MARIADB_PORT = 3306;

/** Users of a managed MariaDB; each has a password in the Secret. */
export const MARIADB_USERS = ['root', 'conductor', 'monitor', 'replication'] as const;
export const passwordKey = (user: (typeof MARIADB_USERS)[number]): string => `${user}-password`;

/** Lines of a script: what probes read, for this user only. */
export const MARIADB_PROBE_LOGIN = `umask 077
printf '[client]\\nsocket=${MARIADB_RUN}/mariadbd.sock\\nuser=monitor\\npassword=%s\\n' "$(cat ${MARIADB_SECRET}/monitor-password)" \\
  >${MARIADB_RUN}/probe.cnf`;

// deadline: 240s
// needs: root setpriv bash mariadbd mariadb mariadb-admin mariadb-install-db
// The files that a managed MariaDB server is started with, given to Debian's MariaDB: passwords come from the Secret and show nowhere, what was
// committed survives, and the probes tell the truth. A Galera cluster: galera-servers.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MariadbRig } from './mariadb-rig.ts';

const rig = new MariadbRig('external', 1);
const [server] = rig.servers as [(typeof rig.servers)[number]];

test.after(() => rig.remove());

test('a database is made whole or not at all', () => {
  mkdirSync(join(rig.dataOf(0), 'new'));
  const { code, said } = server.run('prepare.sh');
  assert.is(code, 0, said);
  assert.ok(existsSync(join(rig.dataOf(0), 'db/mysql')));
  assert.not(existsSync(join(rig.dataOf(0), 'new')));
  assert.not(server.is('ready'), 'nobody runs yet');
});

test('it comes up, ready and durable', async () => {
  server.start();
  await rig.untilReady(server);
  assert.ok(server.is('alive'));
  const settings = await rig.sql(
    server,
    'root',
    "SHOW VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'local_infile', 'log_bin')",
  );
  assert.match(settings, /innodb_doublewrite\tON/);
  assert.match(settings, /innodb_flush_log_at_trx_commit\t1/);
  assert.match(settings, /local_infile\tOFF/);
  assert.match(settings, /log_bin\tOFF/);
});

test('conductors get their database and no other; nobody gets in without a password', async () => {
  await rig.sql(server, 'conductor', 'CREATE TABLE pureflash.words (word VARCHAR(20) PRIMARY KEY)', { overTcp: true });
  await rig.sql(server, 'conductor', "INSERT INTO pureflash.words VALUES ('kept')", { overTcp: true });
  await rig.isRefused(server, 'conductor', 'SELECT * FROM mysql.global_priv', /denied/);
  await rig.isRefused(server, 'monitor', 'SELECT * FROM pureflash.words', /denied/);
  await rig.isRefused(server, 'root', 'SELECT 1', /denied/, { overTcp: true });
  await rig.isRefused(server, 'conductor', 'SELECT 1', /Access denied/, { overTcp: true, password: 'guess' });
});

test('no password shows in arguments or logs', () => {
  const shown = readFileSync(`/proc/${server.pid}/cmdline`, 'utf8') + readFileSync(`/proc/${server.pid}/environ`, 'utf8');
  for (const password of Object.values(rig.passwords)) {
    assert.not(shown.includes(password));
    assert.not(readFileSync(server.logPath, 'utf8').includes(password));
  }
});

test('what was committed survives kill -9', async () => {
  await server.end('SIGKILL');
  assert.not(server.is('ready'));
  assert.not(server.is('alive'));
  assert.is(server.run('prepare.sh').code, 0);
  server.start();
  await rig.untilReady(server);
  assert.match(await rig.sql(server, 'conductor', 'SELECT word FROM pureflash.words'), 'kept');
});

test('data that is found again takes the passwords of a new Secret', async () => {
  await server.end('SIGTERM');
  const old = rig.passwords.conductor;
  rig.writePasswords();
  const { code, said } = server.run('prepare.sh');
  assert.is(code, 0, said);
  server.start();
  await rig.untilReady(server);
  assert.match(await rig.sql(server, 'conductor', 'SELECT word FROM pureflash.words'), 'kept');
  await rig.isRefused(server, 'conductor', 'SELECT 1', /Access denied/, { password: old });
});

test.run();

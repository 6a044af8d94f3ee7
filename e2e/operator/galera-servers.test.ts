// deadline: 400s
// needs: root setpriv bash mariadbd mariadb mariadb-install-db mariabackup socat wsrep_sst_mariabackup /usr/lib/galera/libgalera_smm.so
// optional
// long
// The files that three managed MariaDB servers are started with, given to Debian's Galera: they become one cluster, find each other again after
// a crash of all and after an orderly end of all, and a first server without its disk founds no second cluster.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdirSync, chownSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MariadbRig } from './mariadb-rig.ts';
import { waitFor } from '../local/wait-for.ts';

const USER_ID = 999;
const rig = new MariadbRig('galera', 3);
const [first, second, third] = rig.servers as [
  (typeof rig.servers)[number],
  (typeof rig.servers)[number],
  (typeof rig.servers)[number],
];

test.after(() => rig.remove());

const wordsAt = (server: typeof first): Promise<string> => rig.sql(server, 'conductor', 'SELECT word FROM pureflash.words');

function begin(server: typeof first): void {
  const { code, said } = server.run('prepare.sh');
  assert.is(code, 0, said);
  server.start();
}

test('the first founds the cluster, because it may', async () => {
  begin(first);
  await rig.untilReady(first);
  await rig.sql(first, 'conductor', 'CREATE TABLE pureflash.words (word VARCHAR(20) PRIMARY KEY)');
});

test('the others get a copy and join', async () => {
  // One after the other: pods have an address for the copy each, processes share a machine.
  for (const server of [second, third]) {
    begin(server);
    await rig.untilReady(server);
  }
  assert.match(await rig.sql(first, 'root', "SHOW STATUS LIKE 'wsrep_cluster_size'"), /\t3/);
  await rig.sql(third, 'conductor', "INSERT INTO pureflash.words VALUES ('copied')");
  assert.match(await wordsAt(first), 'copied');
});

test('without a majority none is ready', async () => {
  await Promise.all([first.end('SIGKILL'), third.end('SIGKILL')]);
  await waitFor('the second to notice', 60_000, () => Promise.resolve(!second.is('ready') || null));
  assert.ok(second.is('alive'));
});

test('after a crash of all they find each other', async () => {
  await second.end('SIGKILL');
  for (const server of rig.servers) {
    server.write('founding', 'done\n');
    begin(server);
  }
  await rig.untilReady(...rig.servers);
  assert.match(await wordsAt(second), 'copied');
});

test('after an orderly end of all the last one begins', async () => {
  for (const server of [second, first, third]) await server.end('SIGTERM');
  assert.match(readFileSync(join(rig.dataOf(2), 'db/grastate.dat'), 'utf8'), 'safe_to_bootstrap: 1');
  begin(third);
  await rig.untilReady(third);
  for (const server of [first, second]) {
    begin(server);
    await rig.untilReady(server);
  }
  assert.match(await wordsAt(first), 'copied');
});

test('a first server without its disk founds no second cluster', async () => {
  for (const server of [second, third, first]) await server.end('SIGKILL');
  rmSync(rig.dataOf(0), { recursive: true });
  mkdirSync(rig.dataOf(0));
  chownSync(rig.dataOf(0), USER_ID, USER_ID);
  begin(first);
  await waitFor('it to give up', 120_000, () => Promise.resolve(first.hasEnded || null), 500);
  assert.match(readFileSync(first.logPath, 'utf8'), 'failed to reach primary view');
});

test.run();

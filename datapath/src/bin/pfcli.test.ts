// pfcli in this process, against a real conductor without stores.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withToken } from '../api/api-token.ts';
import { startConductor, type Conductor } from '../conductor/conductor.ts';
import { silentLogger } from '../world/log.ts';
import { openControlWorld } from '../world/node/control-world.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import type { World } from '../world/world.ts';
import { runPfcli } from '../cli/pfcli/pfcli.ts';

const folder = mkdtempSync(join(tmpdir(), 'pureflash-pfcli-'));
let world: World;
let conductor: Conductor;
let address = '';

test.before(async () => {
  world = await openNodeWorld({ log: silentLogger });
  conductor = await startConductor(world, {
    dataFolder: folder,
    host: '127.0.0.1',
    port: 0,
    clusterName: 'test',
    allowSameHost: false,
  });
  address = `127.0.0.1:${conductor.port}`;
});

test.after(async () => {
  await conductor.close();
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

async function pfcli(words: string, environment: Record<string, string> = {}) {
  const said: string[] = [];
  const complained: string[] = [];
  const code = await runPfcli(words.split(' ').filter(Boolean), {
    out: (text) => said.push(text),
    error: (text) => complained.push(text),
    environment,
    hostName: 'here',
    readText: async (path) => readFileSync(path, 'utf8'),
    interrupted: new Promise(() => undefined),
    openControlWorld: async () => openControlWorld(),
    openWholeWorld: () => Promise.reject(new Error('not in this test')),
  });
  return { code, out: said.join('\n'), error: complained.join('\n') };
}

test('no verb: the overview, and an exit code that tells', async () => {
  const { code, out } = await pfcli('');
  assert.is(code, 64);
  assert.match(out, 'compare_replicas');
});

test('a verb that is nearly right gets a suggestion', async () => {
  const { code, error } = await pfcli('list_stor');
  assert.is(code, 64);
  assert.is(error, 'pfcli: unknown command "list_stor"; did you mean "list_store"?');
});

test('an empty cluster lists its volumes', async () => {
  const { code, out } = await pfcli(`list_volume -c ${address}`);
  assert.is(code, 0);
  assert.is(
    out,
    [
      '0 volumes returned.',
      '+----+------+------+----------+--------+-------------+',
      '| Id | Name | Size | RepCount | Status | Attached to |',
      '+----+------+------+----------+--------+-------------+',
      '+----+------+------+----------+--------+-------------+',
    ].join('\n'),
  );
});

test('the conductor may come from the environment', async () => {
  const { code, out } = await pfcli('list_store --json', { PUREFLASH_CONDUCTOR: address });
  assert.is(code, 0);
  assert.is(out, '[]');
});

test("a failure is one line with the conductor's reason, and the error's exit code", async () => {
  const missing = await pfcli(`delete_volume -v nothing -c ${address}`);
  assert.is(missing.code, 66);
  assert.match(missing.error, /^pfcli: .*nothing/);
  assert.not.match(missing.error, '\n');
  const impossible = await pfcli(`create_volume -v v1 -s 1G --rep 3 -c ${address}`);
  assert.match(impossible.error, 'only 0 hosts available but replica is 3');
  assert.not.equal(impossible.code, 0);
});

test('a volume that does not exist is neither resized nor detached', async () => {
  const resized = await pfcli(`resize_volume -v nothing -s 2G -c ${address}`);
  assert.is(resized.code, 66);
  assert.is(resized.error, 'pfcli: volume "nothing" does not exist');
  assert.is((await pfcli(`detach_volume -v nothing -c ${address}`)).error, 'pfcli: volume "nothing" does not exist');
  assert.match((await pfcli('resize_volume -v nothing')).error, '--size');
  assert.match((await pfcli('resize_volume --help')).out, 'pfcli resize_volume -v test_v1 -s 256G');
});

test('the token comes from a file that a flag or the environment names; a bad file is refused before anything is asked', async () => {
  const path = join(folder, 'token');
  const guarded = await startConductor(withToken(world, 'a-token-of-this-test'), {
    dataFolder: join(folder, 'guarded'),
    host: '127.0.0.1',
    port: 0,
    clusterName: 'guarded',
    allowSameHost: false,
  });
  const list = `list_volume --json -c 127.0.0.1:${guarded.port}`;
  writeFileSync(path, 'a-token-of-this-test\n');
  assert.is((await pfcli(`${list} --token-file ${path}`)).out, '[]');
  assert.is((await pfcli(list, { PUREFLASH_TOKEN_FILE: path })).out, '[]');
  const without = await pfcli(list);
  assert.equal([without.code, without.out], [77, '']);
  assert.match(without.error, /it carries no token: give the file that holds it with --token-file/);
  writeFileSync(path, 'another-token-of-this-test\n');
  assert.match((await pfcli(`${list} --token-file ${path}`)).error, /it carries another token/);
  writeFileSync(path, 'short');
  assert.match((await pfcli(`${list} --token-file ${path}`)).error, /cannot use the token in .*: 16 to 512 printable characters/);
  assert.match((await pfcli(`${list} --token-file ${path}.none`)).error, /cannot read the token file/);
  await guarded.close();
});

test('a conductor that is not there is named', async () => {
  const { code, error } = await pfcli('list_volume -c 127.0.0.1:1 --timeout 1');
  assert.is(code, 69);
  assert.match(error, '127.0.0.1:1');
});

test('flags are checked before anything is asked', async () => {
  const { code, error } = await pfcli('create_volume -v v1 -s 12Q');
  assert.is(code, 64);
  assert.match(error, 'flag --size');
});

test('the completion knows every verb and its flags', async () => {
  const { out } = await pfcli('completion --shell bash');
  assert.match(out, 'create_volume) words="--volume --size --rep');
  assert.match(out, 'resize_volume) words="--volume --size');
  assert.match(out, 'delete_volume) words="--volume --force');
  assert.match(out, 'detach_volume) words="--volume --client');
  assert.match(out, 'complete -o default -F _pfcli pfcli');
});

test.run();

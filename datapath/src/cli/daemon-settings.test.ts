// A daemon's configuration file is read as strictly as its command line, and may change what is live while it runs.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodeOf, type ErrorCode } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import { CONDUCTOR_COMMAND } from './conductor-command.ts';
import { DaemonSettings } from './daemon-settings.ts';
import { NBD_SERVE } from './nbd-serve-command.ts';
import { STORE_COMMAND } from './store-command.ts';

const STORE = { disk: ['/d.img=1G'], host: 'a', conductor: ['127.0.0.1:49180'] };

async function settingsOf(config: Json, ...argv: string[]) {
  const read = (path: string): Promise<string> => {
    assert.is(path, '/etc/s.json');
    return Promise.resolve(JSON.stringify(config));
  };
  const settings = await DaemonSettings.read(STORE_COMMAND, ['--config', '/etc/s.json', ...argv], read);
  if (typeof settings === 'string') throw new Error('help was not asked for');
  return settings;
}

async function refusal(code: ErrorCode, call: () => Promise<unknown>): Promise<string> {
  const error = await call().then(
    () => assert.unreachable(`${code} was wanted`),
    (reason: Error) => reason,
  );
  assert.is(errorCodeOf(error), code);
  return (error as Error).message;
}

test('values come from the command line, else from the file, else they are the defaults', async () => {
  const config = { ...STORE, data: '10.0.0.1:1', recoveryParallel: 2, legacyClients: true };
  const { flags } = await settingsOf(config, '--disk', '/other', '--recovery-parallel=9');
  assert.equal(flags.disk, ['/other']);
  assert.equal(flags.data, { kind: 'tcp', host: '10.0.0.1', port: 1 });
  assert.equal(
    [flags.recoveryParallel, flags.legacyClients, flags.host, flags.format, flags.logLevel],
    [9, true, 'a', 'blank', 'info'],
  );
});

test('whatever is wrong in the file is refused with the file and the key', async () => {
  const table: readonly (readonly [Json, string])[] = [
    [{ ...STORE, hots: 'a' }, 'unknown key "hots" in /etc/s.json; did you mean "host"?'],
    [{ ...STORE, constructor: 'a' }, 'unknown key "constructor" in /etc/s.json; did you mean "conductor"?'],
    [{ ...STORE, control: '/x' }, '"control" in /etc/s.json belongs on the command line'],
    [{ ...STORE, recoveryParallel: '4' }, '"recoveryParallel" in /etc/s.json is "4", wanted a number'],
    [{ ...STORE, recoveryParallel: 65 }, '"recoveryParallel" in /etc/s.json is "65", wanted a whole number from 1 to 64'],
    [{ ...STORE, recoveryParallel: 1.5 }, '"recoveryParallel" in /etc/s.json is "1.5", wanted a whole number from 1 to 64'],
    [{ ...STORE, logLevel: 'loud' }, '"logLevel" in /etc/s.json is "loud", wanted one of: debug, info, warn, error'],
    [{ ...STORE, legacyClients: 1 }, '"legacyClients" in /etc/s.json is 1, wanted true or false'],
    [{ ...STORE, disk: '/d' }, '"disk" in /etc/s.json is "/d", wanted a list of at most 1024 texts'],
    [{ ...STORE, host: null }, '"host" in /etc/s.json is null, wanted a text'],
    [
      { ...STORE, http: 'here' },
      '"http" in /etc/s.json: cannot read address "here": write HOST:PORT, such as 127.0.0.1:10809 or [::1]:10809',
    ],
    [
      { disk: ['/d'], conductor: ['c'] },
      'flag --host NAME is required, here or as "host" in /etc/s.json: failure domain: replicas are spread over hosts',
    ],
    [[STORE], 'cannot read /etc/s.json: an object with values of flags is wanted'],
  ];
  for (const [config, message] of table) assert.is(await refusal('INVALID_ARGUMENT', () => settingsOf(config)), message);
  const noJson = DaemonSettings.read(STORE_COMMAND, ['--config=/x'], () => Promise.resolve('{'));
  assert.is(await refusal('INVALID_ARGUMENT', () => noJson), 'cannot read /x: it is not JSON');
});

test('a new configuration changes what is live, and all of it or nothing', async () => {
  const settings = await settingsOf(STORE);
  assert.equal(settings.reconfigure(STORE), []);
  assert.equal(settings.reconfigure({ ...STORE, logLevel: 'debug', recoveryParallel: 8 }), ['recoveryParallel', 'logLevel']);
  assert.equal([settings.flags.logLevel, settings.flags.recoveryParallel], ['debug', 8]);
  const change = { ...STORE, host: 'b', disk: ['/d.img=2G'], logLevel: 'warn' };
  assert.is(
    await refusal('INVALID_STATE', async () => settings.reconfigure(change)),
    'cannot change "disk", "host" while pfstore runs: needs a restart; nothing was changed',
  );
  assert.is(settings.flags.logLevel, 'debug');
  await refusal('INVALID_ARGUMENT', async () => settings.reconfigure({ ...STORE, logLevel: 'loud' }));
  assert.equal(settings.reconfigure(STORE), ['recoveryParallel', 'logLevel'], 'what is not there any more is as by default');
});

test('the command line wins over a new configuration too', async () => {
  const settings = await settingsOf(STORE, '--log-level', 'error');
  assert.equal(settings.reconfigure({ ...STORE, logLevel: 'debug' }), []);
  assert.is(settings.flags.logLevel, 'error');
});

test('which flags can change while a daemon runs', () => {
  const liveOf = (flags: object): string[] =>
    Object.entries(flags).flatMap(([name, flag]) => ((flag as { isLive?: boolean }).isLive === true ? [name] : []));
  assert.equal(liveOf(CONDUCTOR_COMMAND.flags), ['logLevel']);
  assert.equal(liveOf(STORE_COMMAND.flags), ['recoveryParallel', 'logLevel']);
  assert.equal(liveOf(NBD_SERVE.flags), ['logLevel']);
});

test.run();

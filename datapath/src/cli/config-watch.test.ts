// A configuration file that changes while the daemon runs.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Simulator } from '../sim/simulator.ts';
import { CONFIG_PERIOD_MS, watchConfig } from './config-watch.ts';
import { DaemonSettings } from './daemon-settings.ts';
import { STORE_COMMAND } from './store-command.ts';

const ARGV = ['--config', '/etc/s.json', '--disk', '/d', '--host', 'a', '--conductor', '127.0.0.1:1'];

test('live settings are taken over, others are said and left, and a broken file changes nothing', async () => {
  const sim = new Simulator(1);
  const { world } = sim.machine('m').startProcess('p', async () => undefined);
  let text = '{"logLevel":"info"}';
  const settings = await DaemonSettings.read(STORE_COMMAND, ARGV, () => Promise.resolve(text));
  if (typeof settings === 'string') throw new Error('help was not asked for');
  let applied = 0;
  const read = (): Promise<string> => (text === '' ? Promise.reject(new Error('gone')) : Promise.resolve(text));
  const watch = watchConfig(world, { settings, path: '/etc/s.json', read, apply: () => (applied += 1) });
  const look = (): Promise<void> => sim.run(sim.now + CONFIG_PERIOD_MS);
  await look();
  assert.is(applied, 0);
  text = '{"logLevel":"debug","recoveryParallel":2}';
  await look();
  assert.equal([applied, settings.flags.logLevel, settings.flags.recoveryParallel], [1, 'debug', 2]);
  for (const broken of ['', '{', '{"legacyClients":true,"logLevel":"warn"}']) {
    text = broken;
    await look();
    assert.equal([applied, settings.flags.logLevel], [1, 'debug']);
  }
  assert.match(sim.log.tail(10), 'legacyClients');
  text = '{"logLevel":"warn"}';
  await look();
  assert.equal([applied, settings.flags.logLevel, settings.flags.recoveryParallel], [2, 'warn', 4]);
  watch.cancel();
});

test.run();

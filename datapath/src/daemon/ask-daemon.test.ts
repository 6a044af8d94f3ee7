// One question to a daemon, without a service: the answer and who gave it, a refusal, and nobody there.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodeOf } from '../base/errors.ts';
import { silentLogger } from '../world/log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import { makeTestFolder } from '../world/node/test-folder.ts';
import { askDaemon } from './ask-daemon.ts';
import { ControlServer } from './control-server.ts';

const newPath = makeTestFolder();
const MEMORY_BYTES = 8 * 1024 * 1024;

test('a daemon is asked by its name; nobody else may answer', async () => {
  const world = await openNodeWorld({ log: silentLogger, ports: 'libuv', memoryBytes: MEMORY_BYTES });
  const socketPath = newPath('a.sock');
  const server = await ControlServer.open(world, {
    socketPath,
    name: 'store/a',
    pid: 4711,
    handlers: { double: (body) => (body as number) * 2, silent: () => new Promise(() => {}) },
  });
  const ask = (name: string, operation: string) => askDaemon(world, { name, socketPath }, operation, 21, 500);
  const refusal = (asked: Promise<unknown>) => asked.then(() => 'answered', errorCodeOf);
  assert.equal(await ask('store/a', 'double'), { pid: 4711, body: 42 });
  assert.is(await refusal(ask('store/a', 'half')), 'UNSUPPORTED');
  assert.is(await refusal(ask('store/a', 'silent')), 'TIMEOUT');
  assert.is(await refusal(ask('store/b', 'double')), 'CONNECTION_LOST');
  await server.close();
  assert.is(await refusal(ask('store/a', 'double')), 'CONNECTION_LOST');
  await world.close();
});

test.run();

// The files contract on the real world; with PF_PORTS=libuv on libuv's side of it.
// ports: both
import { symlinkSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodeOf } from '../../base/errors.ts';
import { silentLogger } from '../log.ts';
import { filesContract } from '../testing/files-contract.ts';
import { openNodeWorld } from './node-world.ts';
import { makeTestFolder } from './test-folder.ts';

test('a folder where none can be made is an error, not a wait without end', async () => {
  const world = await openNodeWorld({ log: silentLogger });
  const failure = await world.files.makeFolder('/proc/pureflash/deeper').catch((error: unknown) => error);
  assert.is(errorCodeOf(failure), 'NOT_FOUND');
  await world.close();
});

filesContract(
  process.env['PF_PORTS'] ?? 'auto',
  () => openNodeWorld({ log: silentLogger }),
  makeTestFolder(),
  (_world, path, target) => symlinkSync(target, path),
);

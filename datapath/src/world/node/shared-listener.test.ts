// Two worlds accept from one listening socket (Network.listenShared).
// needs: io_uring
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLogger } from '../log.ts';
import type { Stream } from '../network.ts';
import { openNodeWorld } from './node-world.ts';

function hold(stream: Stream): void {
  stream.handler = { onBytes() {}, onDirect() {}, onClosed() {} };
}

async function until(isReached: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!isReached()) {
    assert.ok(performance.now() < deadline, 'waited 10 s in vain');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('each connection is accepted once, and the socket outlives those who share it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shared-listener-'));
  const options = { ports: 'io_uring', log: silentLogger, memoryBytes: 16 * 1024 * 1024 } as const;
  const owner = await openNodeWorld(options);
  const sharer = await openNodeWorld(options);
  const address = { kind: 'unix', path: join(folder, 'socket') } as const;
  let accepted = 0;
  const accept = (stream: Stream): void => {
    accepted += 1;
    hold(stream);
  };
  const first = await owner.network.listen(address, accept);
  const second = await sharer.network.listenShared!(first.descriptor!, address, accept);
  for (let count = 1; count <= 20; count += 1) {
    hold(await owner.network.connect(address, 5000));
    await until(() => accepted === count);
  }
  assert.is(accepted, 20);
  await second.close();
  hold(await owner.network.connect(address, 5000));
  await until(() => accepted === 21);
  await first.close();
  await sharer.close();
  await owner.close();
  rmSync(folder, { recursive: true });
});

test.run();

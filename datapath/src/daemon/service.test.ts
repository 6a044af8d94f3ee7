// Services with real child processes: wishes side by side, changes of the configuration, places and ports.
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../world/testing/contract-world.ts';
import { Service } from './service.ts';
import { define, freePort, inRig, messageOf, processesOf, QUICK_RESTART, readOrEmpty } from './testing/daemon-rig.ts';

test(
  'a hundred manage() calls at once make exactly one process',
  inRig(async ({ open, folder }) => {
    const service = await open(define('many'));
    await Promise.all(Array.from({ length: 100 }, () => service.manage()));
    assert.equal(processesOf(folder), [service.pid]);
    assert.is(service.isOnline, true);
    assert.match(readOrEmpty(service.logPath), /^many starts as \d+\n$/);
    await service.stop();
    assert.equal(processesOf(folder), []);
    assert.equal(service.status.lastExit, 'exit 0');
  }),
);

test(
  'stop() racing start(): the last wish wins, and start() says that it was replaced',
  inRig(async ({ open, folder }) => {
    const service = await open(define('racing'));
    for (let round = 0; round < 3; round += 1) {
      const starting = messageOf(service.start());
      await service.stop({ isRemembered: false });
      assert.equal(processesOf(folder), []);
      assert.is(service.state.phase, 'stopped');
      assert.match(await starting, /CANCELLED/);
    }
    const stopping = service.stop({ isRemembered: false });
    await service.start();
    await stopping.catch(() => {});
    assert.equal(processesOf(folder), [service.pid]);
  }),
);

test(
  'a live part is changed with the same process, another part by a restart, and an identical configuration asks nothing',
  inRig(async ({ open }) => {
    const live = (value: string, port: number) => define('changing', { value, port }, { restartPart: { port } });
    const [first, second] = [await freePort(), await freePort()];
    const service = await open(live('one', first));
    await service.manage();
    const { pid } = service;
    await service.reconfigure(live('one', first));
    assert.equal(await service.request('state', null, 5000), { value: 'one', reconfigurations: 0, steps: 0 });
    await service.reconfigure(live('two', first));
    assert.equal(await service.request('state', null, 5000), { value: 'two', reconfigurations: 1, steps: 0 });
    assert.is(service.pid, pid);
    assert.match(await messageOf(service.reconfigure(live('bad', first))), /INVALID_STATE: .*bad is no value/);
    await service.reconfigure(live('two', second));
    assert.is.not(service.pid, pid);
    assert.equal(await service.request('state', null, 5000), { value: 'two', reconfigurations: 0, steps: 0 });
  }),
);

test(
  'a port in use is a start that fails, and is got over when the port is free',
  inRig(async ({ open, world }) => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as { port: number };
    const policy = { ...QUICK_RESTART, crashLimit: 100 };
    const service = await open(define('porty', { port }, { policy }));
    const managing = service.manage();
    await eventually(world, 'the start has failed', () => service.status.lastExit === 'exit 1');
    assert.match(readOrEmpty(service.logPath), /EADDRINUSE/);
    holder.close();
    await managing;
    assert.is(service.isOnline, true);
  }),
);

test(
  'a control socket has a short path whatever the service is called, and a folder that is too long is refused',
  inRig(async ({ open, world, places }) => {
    const name = `volume/${'n'.repeat(121)}`;
    const service = await open(define(name));
    assert.ok(service.place.socketPath.length <= 107);
    await service.manage();
    assert.is(service.isOnline, true);
    const runFolder = join('/tmp', 'f'.repeat(90));
    assert.match(
      await messageOf(Service.open(world, { ...places, runFolder }, define('any'))),
      /INVALID_ARGUMENT: cannot put control sockets into .*may have 77 bytes/,
    );
  }),
);

test(
  'the next manager knows what was changed while the process ran, and what it missed itself',
  inRig(async ({ open }) => {
    const live = (value: string) => define('inherited', { value }, { restartPart: null });
    const first = await open(live('one'));
    await first.manage();
    const { pid } = first;
    await first.reconfigure(live('two'));
    await first.close();
    const second = await open(live('two'));
    await second.manage();
    assert.equal([second.pid, await second.request('state', null, 5000)], [pid, { value: 'two', reconfigurations: 1, steps: 0 }]);
    await second.close();
    const third = await open(live('three'));
    await third.manage();
    assert.equal([third.pid, await third.request('state', null, 5000)], [pid, { value: 'three', reconfigurations: 2, steps: 0 }]);
  }),
);

test(
  'a listener that stops the service when it starts gets what it asked for',
  inRig(async ({ world, places, folder }) => {
    const notices: string[] = [];
    let stopping: Promise<void> | null = null;
    const service = await Service.open(world, places, define('shy'), (each, notice) => {
      notices.push(notice);
      if (notice === 'started') stopping = each.stop({ isRemembered: false });
    });
    assert.match(await messageOf(service.manage()), /^CANCELLED: another wish for shy came in between/);
    await stopping;
    assert.equal(notices, ['started', 'stopped']);
    assert.equal(processesOf(folder), []);
    await service.close();
  }),
);

test(
  'who gives up waiting by a signal gets its reason, and the service goes on',
  inRig(async ({ open, world }) => {
    const service = await open(define('patient'));
    const abort = new AbortController();
    const managing = messageOf(service.manage(abort.signal));
    abort.abort(Object.assign(new Error('enough'), { code: 'MINE' }));
    assert.is(await managing, 'MINE: enough');
    await eventually(world, 'it is online', () => service.isOnline);
    assert.is(await messageOf(service.manage(abort.signal)), 'MINE: enough');
  }),
);

test.run();

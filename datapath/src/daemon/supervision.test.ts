// Services whose real processes crash, hang, fail at their start, or never say anything.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../world/testing/contract-world.ts';
import { define, inRig, messageOf, processesOf, QUICK_RESTART, readOrEmpty, TEST_TIMINGS } from './testing/daemon-rig.ts';

test(
  'a daemon that hangs goes offline within the ping timeout, and comes back when it goes on',
  inRig(async ({ open, world }) => {
    const timings = { ...TEST_TIMINGS, pingIntervalMs: 50, pingTimeoutMs: 300 };
    const service = await open(define('hanging', {}, { timings }));
    await service.manage();
    const { pid } = service;
    process.kill(pid!, 'SIGSTOP');
    const stoppedAt = world.clock.now();
    await eventually(world, 'it is offline', () => !service.isOnline);
    const tookMs = world.clock.now() - stoppedAt;
    assert.ok(tookMs < 2000, `offline after ${tookMs} ms`);
    assert.is(service.state.phase, 'running');
    process.kill(pid!, 'SIGCONT');
    await eventually(world, 'it is online', () => service.isOnline);
    assert.is(service.pid, pid);
  }),
);

test(
  'a daemon that hangs for too long is ended and started again',
  inRig(async ({ open, world, folder }) => {
    const timings = { ...TEST_TIMINGS, pingIntervalMs: 50, pingTimeoutMs: 300, endAfterOfflineMs: 3000 };
    const service = await open(define('hung', {}, { timings }));
    await service.manage();
    const { pid } = service;
    process.kill(pid!, 'SIGSTOP');
    await eventually(world, 'another process is online', () => service.isOnline && service.pid !== pid, 15_000);
    assert.equal(processesOf(folder), [service.pid]);
    assert.ok(service.status.restarts >= 1); // More, where a start takes longer than the patience.
  }),
);

test(
  'a daemon that closes its socket and lives on is offline, and no second one is started',
  inRig(async ({ open, world, folder }) => {
    const service = await open(define('closing'));
    await service.manage();
    const { pid } = service;
    await service.request('closeSocket', null, 5000);
    await eventually(world, 'it is offline', () => !service.isOnline);
    assert.equal(processesOf(folder), [pid]);
    assert.is(service.state.phase, 'running');
  }),
);

test(
  'a daemon that never opens its socket is a timeout that says so; a slow one is waited for',
  inRig(async ({ open }) => {
    const timings = { ...TEST_TIMINGS, onlineMs: 200, termMs: 300, killMs: 300 };
    const silent = await open(define('silent', {}, { mode: 'no-socket', timings }));
    assert.match(await messageOf(silent.manage()), /^TIMEOUT: silent is not what was wished after 800 ms: running, offline/);
    assert.is(silent.status.isOnline, false);
    const slow = await open(define('slow', {}, { mode: 'slow-start' }));
    await slow.manage();
    assert.is(slow.isOnline, true);
  }),
);

test(
  'a daemon that fails on its start is tried again with growing delays, then it is a crash loop with the exit code kept',
  inRig(async ({ open }) => {
    const service = await open(define('failing', {}, { mode: 'fail-on-init' }));
    assert.match(await messageOf(service.manage()), /^INVALID_STATE: cannot keep failing running: crash-loop, exit 1; see /);
    assert.equal([service.status.restarts, service.status.crashes, service.status.lastExit], [3, 4, 'exit 1']);
    assert.match(await messageOf(service.manage()), /crash-loop/);
    assert.is(service.status.restarts, 3, 'manage() does not begin the loop again');
    assert.is(readOrEmpty(service.logPath).match(/failing starts as/g)?.length, 4);
    await service.reconfigure(define('failing', { value: 1 }));
    assert.is(service.isOnline, true, 'another definition ends the crash loop');
  }),
);

test(
  'a crash is seen with its exit code, and followed by a restart; policy "never" lets it rest',
  inRig(async ({ open, world }) => {
    const service = await open(define('crashing', { crashAfterMs: 600 }));
    await service.manage();
    const { pid } = service;
    await eventually(world, 'another process is online', () => service.isOnline && service.pid !== pid);
    assert.is(service.status.lastExit, 'exit 7');
    await service.stop();
    const once_ = await open(define('once', { crashAfterMs: 600 }, { policy: { ...QUICK_RESTART, mode: 'never' } }));
    await once_.manage();
    await eventually(world, 'it rests', () => once_.state.phase === 'ended');
    assert.match(await messageOf(once_.manage()), /INVALID_STATE: cannot keep once running: ended, exit 7/);
  }),
);

test.run();

// The process of a service on the real machine: identities, stale records, stopping.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../world/testing/contract-world.ts';
import type { ProcessRecord } from './process-record.ts';
import { define, freePort, inRig, messageOf, processesOf, readOrEmpty, TEST_TIMINGS, type Rig } from './testing/daemon-rig.ts';

const REBOOTED = '00000000-0000-4000-8000-000000000000';

/** A process that has nothing to do with any service. */
async function unrelated(body: (child: ChildProcess) => Promise<void>): Promise<void> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(child, 'spawn');
  try {
    await body(child);
    assert.is(child.exitCode, null);
    assert.is(child.signalCode, null, 'the unrelated process was signalled');
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

function recordOf(rig: Rig, name: string, identity: ProcessRecord['identity']): ProcessRecord {
  const config = { whole: 'w', restartPart: 'r' };
  return { version: 1, name, identity, command: ['/bin/x'], config, socketPath: join(rig.folder, 'x.sock') };
}

test(
  'a stale record whose process id belongs to somebody else: nobody is signalled, and a new process is started',
  inRig(async (rig) => {
    await unrelated(async (child) => {
      const identity = (await rig.world.processes.identify(child.pid!))!;
      await rig.places.records.write(recordOf(rig, 'reused', { ...identity, startTicks: identity.startTicks - 100 }));
      const service = await rig.open(define('reused'));
      assert.is(service.state.phase, 'stopped');
      await service.stop();
      await service.start();
      assert.is.not(service.pid, child.pid);
      await service.stop();
    });
  }),
);

test(
  'after a reboot the same ids mean nothing: a clean start',
  inRig(async (rig) => {
    await unrelated(async (child) => {
      const identity = (await rig.world.processes.identify(child.pid!))!;
      await rig.places.records.write(recordOf(rig, 'rebooted', { ...identity, bootId: REBOOTED }));
      const service = await rig.open(define('rebooted'));
      assert.is(service.state.phase, 'stopped');
      assert.is(await rig.places.records.read('rebooted'), null);
      await service.manage();
      assert.is(service.isOnline, true);
      assert.is(service.status.restarts, 0);
    });
  }),
);

test(
  'a process that ignores SIGTERM is killed after the limit, and its successor never runs beside it',
  inRig(async (rig) => {
    const port = await freePort();
    const timings = { ...TEST_TIMINGS, termMs: 300 };
    const at = (value: number) => define('stubborn', { port, value }, { mode: 'ignore-sigterm', timings });
    const service = await rig.open(at(1));
    await service.manage();
    const { pid } = service;
    await service.reconfigure(at(2));
    assert.is.not(service.pid, pid);
    assert.equal(processesOf(rig.folder), [service.pid]);
    assert.is(service.status.lastExit, 'SIGKILL');
    assert.not.match(readOrEmpty(service.logPath), /EADDRINUSE/, 'both owned the port at the same time');
  }),
);

test(
  'the record stays until the process has ended, and goes then',
  inRig(async (rig) => {
    const service = await rig.open(define('recorded'));
    await service.manage();
    const record = (await rig.places.records.read('recorded'))!;
    assert.equal(record.identity, await rig.world.processes.identify(service.pid!));
    process.kill(service.pid!, 'SIGSTOP'); // SIGTERM waits for SIGCONT, which stop() sends.
    const stopping = service.stop();
    assert.equal(await rig.places.records.read('recorded'), record);
    await stopping;
    assert.is(await rig.places.records.read('recorded'), null);
    assert.is(await rig.world.processes.identify(record.identity!.pid), null);
    assert.is(service.status.lastExit, 'exit 0');
  }),
);

test(
  'a grandchild does not outlive the service',
  inRig(async (rig) => {
    const grandchildFile = join(rig.folder, 'grandchild');
    const service = await rig.open(define('family', { grandchildFile }));
    await service.manage();
    const first = Number(readOrEmpty(grandchildFile));
    assert.is.not(await rig.world.processes.identify(first), null);
    process.kill(service.pid!, 'SIGKILL');
    await eventually(rig.world, 'another grandchild is there', () => ![0, first].includes(Number(readOrEmpty(grandchildFile))));
    assert.is(await rig.world.processes.identify(first), null);
    await eventually(rig.world, 'it is online', () => service.isOnline);
    const second = (await rig.world.processes.adopt((await rig.world.processes.identify(Number(readOrEmpty(grandchildFile))))!))!;
    await service.stop();
    await second.exited;
  }),
);

test(
  'stop() of a process that has died on its own, and of none at all, is content',
  inRig(async (rig) => {
    const service = await rig.open(define('gone', {}, { policy: { ...define('x').policy!, mode: 'never' } }));
    await service.stop();
    await service.start();
    process.kill(service.pid!, 'SIGKILL');
    await eventually(rig.world, 'it is seen', () => service.state.phase === 'ended');
    await service.stop();
    await service.stop();
    assert.is(service.status.lastExit, 'SIGKILL');
  }),
);

test(
  'a process that ends at once tells how',
  inRig(async (rig) => {
    const policy = { ...define('x').policy!, mode: 'never' as const };
    const command = () => ({ program: '/bin/sh', args: ['-c', 'exit 5'] });
    const service = await rig.open(define('short', {}, { policy, command }));
    assert.match(await messageOf(service.manage()), /INVALID_STATE: cannot keep short running: ended, exit 5/);
    const missing = await rig.open(define('missing', {}, { policy, command: () => ({ program: '/nonexistent/x', args: [] }) }));
    assert.match(await messageOf(missing.manage()), /ended, never started, cannot start \/nonexistent\/x/);
    assert.is(await rig.places.records.read('missing'), null);
  }),
);

test.run();

// All services of a manager: found again by the next one, orphans, failures that stop no other, what is shown.
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../world/testing/contract-world.ts';
import { ServiceSet, type ServiceResult } from './service-set.ts';
import { define, inRig, messageOf, processesOf, readOrEmpty, type Rig } from './testing/daemon-rig.ts';

const MANAGER = fileURLToPath(new URL('./testdata/manager.ts', import.meta.url));

function openSet(rig: Rig, orphans: 'adopt' | 'stop' = 'stop'): Promise<ServiceSet> {
  return ServiceSet.open(rig.world, { runFolder: join(rig.folder, 'run'), logFolder: join(rig.folder, 'log'), orphans });
}

const outcomes = (results: readonly ServiceResult[]): string[] => results.map(({ name, outcome }) => `${name}: ${outcome}`);

test(
  'a manager that is killed leaves its daemons; the next one finds the same processes, with no restart',
  inRig(async (rig) => {
    const report = join(rig.folder, 'report');
    const manager = spawn(process.execPath, [MANAGER, rig.folder, report, 'one', 'two', 'three'], { stdio: 'inherit' });
    await eventually(rig.world, 'the first manager has three', () => readOrEmpty(report).endsWith('\n'), 15_000);
    const before = JSON.parse(readOrEmpty(report)) as Record<string, number>;
    manager.kill('SIGKILL');
    await eventually(rig.world, 'it has ended', () => manager.signalCode === 'SIGKILL');
    assert.equal(processesOf(rig.folder).sort(), Object.values(before).sort());
    await using set = await openSet(rig);
    assert.equal(outcomes(await set.manageAll(['one', 'two', 'three'].map((name) => define(name)))), [
      'one: done',
      'two: done',
      'three: done',
    ]);
    const services = set.statedump().services;
    assert.equal(Object.fromEntries(services.map(({ name, pid }) => [name, pid])), before);
    assert.equal(
      services.map(({ restarts, isOnline }) => [restarts, isOnline]),
      [
        [0, true],
        [0, true],
        [0, true],
      ],
    );
    // An adopted process is watched like an own one.
    process.kill(before['two']!, 'SIGKILL');
    const two = set.get('two')!;
    await eventually(rig.world, 'two is back', () => two.isOnline && two.pid !== before['two']);
    assert.equal(outcomes(await set.stopAll()), ['three: done', 'two: done', 'one: done']);
    assert.equal(processesOf(rig.folder), []);
  }),
);

test(
  'one failing service stops no other, and each has its result',
  inRig(async (rig) => {
    await using set = await openSet(rig);
    const results = await set.manageAll([
      define('a'),
      define('bad', {}, { mode: 'fail-on-init' }),
      define('not possible!'),
      define('z'),
    ]);
    assert.equal(outcomes(results), ['a: done', 'bad: failed', 'not possible!: failed', 'z: done']);
    assert.match(results[1]!.error!.message, /cannot keep bad running: crash-loop, exit 1/);
    assert.match(results[2]!.error!.message, /cannot use "not possible!" as the name of a service/);
    assert.equal(outcomes(await set.reconfigureAll([define('nobody'), define('a')])), ['nobody: failed', 'a: done']);
    const lines = set.table().split('\n');
    assert.match(lines[1]!, /^\| service \| +state +\| control \| +pid +\| restarts \| last exit \|$/);
    assert.match(lines[3]!, /^\| +a \| +running \| +online \| +\d+ \| +0 \| +- \|$/);
    assert.match(lines[4]!, /^\| +bad \| crash-loop \| offline \| +- \| +3 \| +exit 1 \|$/);
    assert.is((statSync(join(rig.folder, 'run')).mode & 0o777).toString(8), '700');
  }),
);

test(
  'what is wished no longer is stopped, or kept and shown as an orphan',
  inRig(async (rig) => {
    {
      await using set = await openSet(rig);
      await set.manageAll([define('keep'), define('drop')]);
    }
    {
      await using set = await openSet(rig, 'adopt');
      assert.equal(outcomes(await set.manageAll([define('keep')])), ['keep: done', 'drop: orphan kept']);
      assert.is(processesOf(rig.folder).length, 2);
      assert.equal(
        set.statedump().services.map(({ name, isOrphan }) => [name, isOrphan]),
        [
          ['drop', true],
          ['keep', false],
        ],
      );
      const { pid } = set.get('drop')!;
      await set.manageAll([define('keep'), define('drop')]);
      assert.is(set.get('drop')!.pid, pid, 'an orphan that is wished again is not restarted');
    }
    await using set = await openSet(rig, 'stop');
    assert.equal(outcomes(await set.manageAll([define('keep')])), ['keep: done', 'drop: orphan stopped']);
    assert.equal(processesOf(rig.folder), [set.get('keep')!.pid]);
  }),
);

test(
  'a service that was stopped by hand stays stopped under the next manager, until it is started by hand',
  inRig(async (rig) => {
    {
      await using set = await openSet(rig);
      await set.manageAll([define('resting')]);
      await set.get('resting')!.stop();
    }
    await using set = await openSet(rig);
    assert.equal(outcomes(await set.manageAll([define('resting')])), ['resting: done']);
    assert.equal(processesOf(rig.folder), []);
    assert.is(set.statedump().services[0]!.isHeld, true);
    await set.get('resting')!.start();
    assert.is(set.get('resting')!.isOnline, true);
  }),
);

test(
  'a second manager is refused while the first one lives',
  inRig(async (rig) => {
    await using set = await openSet(rig);
    assert.match(await messageOf(openSet(rig)), /^INVALID_STATE: cannot lock .*manager\.lock/);
    assert.equal(set.statedump(), { orphans: 'stop', services: [] });
  }),
);

test(
  'those of a lower rank have ended before the next rank is stopped, whoever started them',
  inRig(async (rig) => {
    const names = ['base/1', 'front/1', 'base/2', 'front/2'];
    const earlier = await openSet(rig);
    await earlier.manageAll(names.map((name) => define(name)));
    await earlier.close();
    const ends: string[] = [];
    await using set = await ServiceSet.open(rig.world, {
      runFolder: join(rig.folder, 'run'),
      logFolder: join(rig.folder, 'log'),
      orphans: 'stop',
      listener: ({ name }, notice) => {
        if (notice === 'stopped') ends.push(name.split('/')[0]!);
      },
    });
    const results = await set.stopAll(undefined, (name) => (name.startsWith('front') ? 0 : 1));
    assert.equal(ends, ['front', 'front', 'base', 'base']);
    assert.equal(outcomes(results).sort(), ['base/1: done', 'base/2: done', 'front/1: done', 'front/2: done']);
    assert.equal(processesOf(rig.folder), []);
  }),
);

test.run();

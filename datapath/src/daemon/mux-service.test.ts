// Many logical services in one real process: attached, changed, detached, and attached again after a death in the middle.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually } from '../world/testing/contract-world.ts';
import type { JsonObject } from '../base/json.ts';
import { MuxService } from './mux-service.ts';
import { define, inRig, messageOf, processesOf, type Rig } from './testing/daemon-rig.ts';

const COUNT = Number(process.env['PF_MUX_COUNT'] ?? 500);
const nameOf = (index: number): string => `volume-${String(index).padStart(4, '0')}`;

async function inMux(rig: Rig, config: JsonObject, body: (mux: MuxService) => Promise<void>): Promise<void> {
  const mux = await MuxService.open(rig.world, rig.places, define('mux', config));
  try {
    await body(mux);
  } finally {
    await mux.close();
  }
}

async function listOf(mux: MuxService): Promise<string[]> {
  return ((await mux.service.request('list', null, 5000)) as { name: string }[]).map(({ name }) => name).sort();
}

async function stepsOf(mux: MuxService): Promise<number> {
  return ((await mux.service.request('state', null, 5000)) as { steps: number }).steps;
}

test(
  `${COUNT} are attached to one process, which is killed in the middle, twice: all are there again`,
  inRig(async (rig) => {
    await inMux(rig, {}, async (mux) => {
      await mux.attach(nameOf(0), { index: 0 });
      const names = Array.from({ length: COUNT }, (_, index) => nameOf(index));
      for (const killAt of [0.2, 0.6]) {
        const pid = mux.service.pid!;
        const attaching = Promise.all(
          names.slice(0, (COUNT * (killAt + 0.4)) | 0).map((name, index) => mux.attach(name, { index })),
        );
        await eventually(
          rig.world,
          'it is in the middle',
          () => mux.attached.length >= COUNT * killAt || mux.service.pid !== pid,
        );
        process.kill(pid, 'SIGKILL');
        await attaching;
        assert.is.not(mux.service.pid, pid);
      }
      assert.equal(await listOf(mux), names);
      assert.equal(processesOf(rig.folder), [mux.service.pid]);
      const { pid } = mux.service;
      process.kill(pid!, 'SIGKILL'); // While nobody asks for anything.
      await eventually(rig.world, 'it is back', () => mux.service.pid !== pid && mux.attached.length === COUNT);
      assert.equal(await listOf(mux), names);
      assert.is(mux.service.status.restarts, 3);
      await Promise.all(names.slice(1).map((name) => mux.detach(name)));
      assert.equal(await listOf(mux), [nameOf(0)]);
      await mux.detach(nameOf(0));
      assert.equal(processesOf(rig.folder), [], 'the last detach stops the process');
    });
  }),
);

test(
  'the same configuration asks nothing, another one is changed in the same process',
  inRig(async (rig) => {
    await inMux(rig, {}, async (mux) => {
      await mux.attach('a', { size: 1, colour: 'red' });
      await mux.attach('b', {});
      assert.is(await stepsOf(mux), 2);
      await mux.attach('a', { colour: 'red', size: 1 });
      assert.is(await stepsOf(mux), 2);
      const { pid } = mux.service;
      await mux.attach('a', { size: 2 });
      assert.is(await stepsOf(mux), 3);
      assert.is(mux.service.pid, pid);
      await mux.detach('nobody');
      assert.is(await stepsOf(mux), 3);
    });
  }),
);

test(
  'the next manager finds the attachments, tells only what differs, and restarts nothing',
  inRig(async (rig) => {
    let pid: number | null = null;
    await inMux(rig, {}, async (mux) => {
      await mux.manage(new Map(['a', 'b', 'c'].map((name) => [name, { name }])));
      pid = mux.service.pid;
      assert.is(await stepsOf(mux), 3);
    });
    await inMux(rig, {}, async (mux) => {
      const wished = new Map<string, JsonObject>([
        ['b', { name: 'b' }],
        ['c', { name: 'another c' }],
        ['d', { name: 'd' }],
      ]);
      await mux.manage(wished);
      assert.is(mux.service.pid, pid);
      assert.equal(await listOf(mux), ['b', 'c', 'd']);
      assert.is(await stepsOf(mux), 6, 'one attach, one change, one detach');
      await mux.manage(new Map());
      assert.equal(processesOf(rig.folder), []);
    });
  }),
);

test(
  'what the daemon refuses is an error of that one alone, and is not asked again until it changes',
  inRig(async (rig) => {
    await inMux(rig, { refuse: 'bad' }, async (mux) => {
      const [bad] = await Promise.all([messageOf(mux.attach('bad', {})), mux.attach('good', {})]);
      assert.match(bad, /^INTERNAL: cannot attach "bad" at mux/);
      assert.equal(await listOf(mux), ['good']);
      await mux.settle();
      const steps = await stepsOf(mux);
      await mux.attach('more', {});
      assert.is(await stepsOf(mux), steps + 1);
    });
  }),
);

test(
  'who attaches while the last one is detached gets a process, and both are content',
  inRig(async (rig) => {
    await inMux(rig, {}, async (mux) => {
      await mux.attach('last', {});
      for (const name of ['a', 'b']) {
        const detaching = mux.detach(name === 'a' ? 'last' : 'a');
        await mux.attach(name, {});
        await detaching;
        assert.equal(await listOf(mux), [name]);
        assert.equal(processesOf(rig.folder), [mux.service.pid]);
      }
    });
  }),
);

test.run();

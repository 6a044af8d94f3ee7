// The crash windows of a start: no room for the record, a record that is lost, and a manager that died before it was written.
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../base/errors.ts';
import type { World } from '../world/world.ts';
import { RecordFolder } from './process-record.ts';
import { define, inRig, messageOf, processesOf, readOrEmpty } from './testing/daemon-rig.ts';
import { Service } from './service.ts';

test(
  'a full disk fails the start with its reason and leaves no process; with room again it starts',
  inRig(async (rig) => {
    for (const room of [0, 1, 2]) {
      const full = worldWithRoom(rig.world, room);
      const records = new RecordFolder(full.world, rig.folder);
      const service = await Service.open(full.world, { ...rig.places, records }, define(`full-${room}`));
      const managing = messageOf(service.manage());
      assert.match(await managing, /INVALID_STATE: .*crash-loop.*no space is left/);
      assert.equal(processesOf(rig.folder), []);
      full.free();
      await service.start();
      assert.equal(processesOf(rig.folder), [service.pid]);
      await service.stop({ isRemembered: false });
      await service.close();
    }
  }),
);

test(
  'a damaged record is set aside, and the process that answers at the socket is replaced, not doubled',
  inRig(async (rig) => {
    const first = await rig.open(define('damaged'));
    await first.manage();
    const { pid } = first;
    await first.close();
    const path = join(rig.folder, 'damaged.process.json');
    await rig.world.files.replace(path, new TextEncoder().encode('{"version":1,"name":"damaged","identity":{"pid":'));
    const second = await rig.open(define('damaged'));
    assert.is(second.pid, pid);
    await second.manage();
    assert.is.not(second.pid, pid);
    assert.equal(processesOf(rig.folder), [second.pid]);
    assert.match(readOrEmpty(`${path}.set-aside`), /^\{"version":1,"name":"damaged"/);
  }),
);

test(
  'who dies between the spawn and the record leaves a process that is found by its socket',
  inRig(async (rig) => {
    const first = await rig.open(define('intent'));
    await first.manage();
    const { pid } = first;
    await first.close();
    const record = (await rig.places.records.read('intent'))!;
    await rig.places.records.write({ ...record, identity: null });
    const second = await rig.open(define('intent'));
    await second.manage();
    assert.is(second.pid, pid);
    assert.equal((await rig.places.records.read('intent'))!.identity, record.identity);
  }),
);

/** After `room` files have been replaced, the disk is full until free(). */
function worldWithRoom(world: World, room: number): { readonly world: World; free(): void } {
  let left = room;
  const files = Object.create(world.files, {
    replace: {
      value: (path: string, bytes: Uint8Array) => {
        left -= 1;
        if (left >= 0) return world.files.replace(path, bytes);
        return Promise.reject(new PfError('NO_SPACE', `cannot replace ${path}: no space is left`));
      },
    },
    read: { value: (path: string) => world.files.read(path) },
    remove: { value: (path: string) => world.files.remove(path) },
  }) as World['files'];
  return { world: { ...world, files }, free: () => (left = Infinity) };
}

test.run();

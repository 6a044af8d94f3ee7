// Death between any two steps of map() and of unmap(): the next mapper takes over what can be saved, removes the rest, and leaves nothing.
// deadline: 120s
// needs: root native /dev/fuse /dev/loop-control
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../block/memory-device.ts';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import type { World } from '../../world/world.ts';
import { FuseMapper } from './fuse-mapper.ts';
import { MiB } from './testing/scripted-kernel.ts';

const root = mkdtempSync(join(tmpdir(), 'pf-crash-'));
const NAME = 'crash';
let world: World;

/** A world in which everything that changes the machine stops working for good after so many changes. */
class MortalWorld {
  changes = 0;
  readonly #changesToLive: number;

  constructor(changesToLive: number) {
    this.#changesToLive = changesToLive;
  }

  get isDead(): boolean {
    return this.changes > this.#changesToLive;
  }

  of(real: World): World {
    const [fuse, loopDevices, files] = [this.#wrap(real.fuse!), this.#wrap(real.loopDevices!), this.#wrap(real.files)];
    return { ...real, fuse, loopDevices, files };
  }

  #wrap<T extends object>(port: T): T {
    return new Proxy(port, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]): Promise<unknown> => {
          if (['replace', 'remove', 'hold', 'mount', 'attach', 'detach', 'unmount', 'endHolder'].includes(String(key)))
            this.changes += 1;
          if (this.isDead) throw new Error('dead');
          return Reflect.apply(value, target, args);
        };
      },
    });
  }
}

function mapperIn(here: World, folder: string): FuseMapper {
  return new FuseMapper(here, { folder });
}

async function checkNothingLeft(folder: string): Promise<void> {
  assert.equal(existsSync(folder) ? readdirSync(folder) : [], []);
  assert.not(readFileSync('/proc/self/mountinfo', 'utf8').includes(folder));
  assert.equal(await world.fuse!.findHolders(`${folder}/${NAME}`), []);
  const loops = await world.loopDevices!.list();
  assert.not(loops.some(({ backingFile }) => backingFile.startsWith(folder)));
}

test.before(async () => {
  world = await openNodeWorld({ log: silentLogger, memoryBytes: 64 * MiB });
});

test.after(async () => {
  await world.close();
  rmSync(root, { recursive: true, force: true });
});

test('map() dies at each step', async () => {
  const outcomes: string[] = [];
  for (let step = 0; outcomes.at(-1) !== 'mapped'; step += 1) {
    const folder = join(root, `map-${step}`);
    const device = new MemoryDevice(world.memory, { sizeBytes: 8 * MiB });
    const mortal = new MortalWorld(step);
    const mapped = await mapperIn(mortal.of(world), folder)
      .map({ name: NAME, device })
      .catch(() => null);
    const next = mapperIn(world, folder);
    const mapping = await next.adopt({ name: NAME, device });
    outcomes.push(mapped !== null ? 'mapped' : mapping === null ? 'removed' : 'adopted');
    await mapping?.unmap();
    await checkNothingLeft(folder);
  }
  assert.equal(outcomes, ['removed', 'removed', 'removed', 'removed', 'removed', 'mapped']);
});

test('unmap() dies at each step; reap() removes what is left', async () => {
  const outcomes: string[] = [];
  for (let step = 0; outcomes.at(-1) !== 'unmapped'; step += 1) {
    const folder = join(root, `unmap-${step}`);
    const device = new MemoryDevice(world.memory, { sizeBytes: 8 * MiB });
    const mapSteps = 5;
    const mapping = await mapperIn(new MortalWorld(mapSteps + step).of(world), folder).map({ name: NAME, device });
    const isDone = await mapping.unmap().then(
      () => true,
      () => false,
    );
    const reaped = await mapperIn(world, folder).reap('', new Set());
    outcomes.push(isDone ? 'unmapped' : reaped.includes(NAME) ? 'reaped' : 'nothing left');
    await checkNothingLeft(folder);
  }
  assert.equal(outcomes, ['reaped', 'reaped', 'reaped', 'reaped', 'unmapped']);
});

test.run();

// Which disks are formatted when a store starts, and which never are.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodeOf } from '../base/errors.ts';
import { MiB } from '../base/sizes.ts';
import type { SimHost } from '../sim/sim-host.ts';
import { Simulator } from '../sim/simulator.ts';
import { StoreDisks, type DiskSpec, type FormatPolicy } from './store-disks.ts';

const [A, B] = ['/dev/a', '/dev/b'];

function machine(): SimHost {
  const host = new Simulator(1, { memoryBytes: 32 * MiB }).machine('m');
  for (const path of [A, B]) host.addDisk(path!, { sizeBytes: 32 * MiB });
  return host;
}

/** A bit in the first sector. */
const scribble = (host: SimHost, path: string): void => host.disk(path).rot(100, 3);

/** The store's id and which disks were formatted; opened and closed again. */
async function open(host: SimHost, specs: readonly DiskSpec[], policy: FormatPolicy = 'blank-only') {
  const { sim } = host;
  const process = host.startProcess(`store${sim.nextId()}`, async () => {});
  const before = sim.log.tail(1000).split('formatted a disk').length;
  const storeUuid = await process.perform(async (world) => {
    const disks = await StoreDisks.open(world, specs, policy);
    await disks.close();
    return disks.storeUuid;
  });
  return { storeUuid, formatted: sim.log.tail(1000).split('formatted a disk').length - before };
}

const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'accepted',
    (error: unknown) => errorCodeOf(error),
  );

test('a disk that holds something is formatted when it may be erased, once', async () => {
  const host = machine();
  scribble(host, A!);
  assert.is.not(await refusal(open(host, [{ path: A! }])), 'accepted');
  const first = await open(host, [{ path: A!, mayErase: true }]);
  assert.is(first.formatted, 1);
  assert.equal(await open(host, [{ path: A!, mayErase: true }]), { storeUuid: first.storeUuid, formatted: 0 });
});

test("a disk of another store joins when it may be erased; this store's own is never erased", async () => {
  const host = machine();
  const { storeUuid } = await open(host, [{ path: A! }]);
  const other = await open(host, [{ path: B! }]);
  assert.is.not(other.storeUuid, storeUuid);
  assert.is(await refusal(open(host, [{ path: A! }, { path: B! }])), 'INVALID_STATE');
  assert.equal(await open(host, [{ path: A! }, { path: B!, mayErase: true }]), { storeUuid, formatted: 1 });
  assert.equal(
    await open(host, [
      { path: A!, mayErase: true },
      { path: B!, mayErase: true },
    ]),
    { storeUuid, formatted: 0 },
  );
});

test('nothing is formatted when formatting is forbidden', async () => {
  const host = machine();
  scribble(host, A!);
  assert.is.not(await refusal(open(host, [{ path: A!, mayErase: true }], 'never')), 'accepted');
  const { storeUuid } = await open(host, [{ path: B! }]);
  assert.equal(await open(host, [{ path: B!, mayErase: true }], 'never'), { storeUuid, formatted: 0 });
});

test('force formats anew, whatever is there; the store stays the same', async () => {
  const host = machine();
  const { storeUuid } = await open(host, [{ path: A! }]);
  assert.equal(await open(host, [{ path: A! }], 'force'), { storeUuid, formatted: 1 });
});

test.run();

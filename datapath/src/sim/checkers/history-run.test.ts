// The simulator and the history checker together, on a toy store: one server, one disk, crashes, clients that give up.
// The honest server passes every seed; each dishonest one is caught.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CompletionPromise } from '../../world/completion.ts';
import type { World } from '../../world/world.ts';
import { Simulator } from '../simulator.ts';
import { BlockHistory } from './block-history.ts';

const BLOCKS = 6;
const BLOCK = 4096;

interface Toy {
  /** Answers before the bytes are safe. */
  readonly isForgetful?: boolean;
  /** Puts the bytes of every twentieth write one block too far. */
  readonly isSloppy?: boolean;
}

function server(toy: Toy): (world: World) => Promise<void> {
  return async (world) => {
    const disk = await world.disks.open('/disk', { createSizeBytes: 1 << 20 });
    const memory = world.memory.reserve(BLOCK);
    let last: Promise<unknown> = Promise.resolve();
    let writes = 0;
    const perform = async (offset: number, body: Uint8Array): Promise<Uint8Array> => {
      const done = new CompletionPromise();
      if (body.length === 0) {
        disk.read(offset, memory, BLOCK, done);
        await done.done;
        return world.memory.bytes.slice(memory, memory + BLOCK);
      }
      world.memory.bytes.set(body, memory);
      writes += 1;
      const target = toy.isSloppy === true && writes % 20 === 0 ? offset + BLOCK : offset;
      disk.write(target, memory, BLOCK, toy.isForgetful !== true, done);
      await done.done;
      return new Uint8Array(0);
    };
    await world.http.serve('0.0.0.0', 80, async (request) => {
      const result = last.then(() => perform(Number(request.query.get('offset')), request.body));
      last = result;
      return { status: 200, contentType: 'application/octet-stream', body: await result };
    });
  };
}

function client(name: string, host: string, history: BlockHistory): (world: World) => Promise<void> {
  return async (world) => {
    for (let step = 0; step < 150; step += 1) {
      await world.clock.sleep(world.random.float() * 8);
      const offset = world.random.below(BLOCKS) * BLOCK;
      const call = { method: 'POST', host, port: 80, target: `/?offset=${offset}`, timeoutMs: 50 } as const;
      if (world.random.float() < 0.5) {
        const write = history.writeStarted(name, offset, BLOCK);
        const body = new Uint8Array(BLOCK);
        history.fill(write, body, 0);
        await world.http.request({ ...call, body }).then(
          () => history.writeDone(write, 0),
          () => history.writeDone(write, 5),
        );
      } else {
        const read = history.readStarted(name, offset, BLOCK);
        const bytes = await world.http.request(call).then(
          (response) => response.body,
          () => null,
        );
        history.readDone(read, bytes);
      }
    }
  };
}

/** The message of the violation that the run ended with, or null. */
async function run(seed: number, toy: Toy): Promise<string | null> {
  const sim = new Simulator(seed);
  const machine = sim.machine('server');
  sim.network.faults.answerLostChance = 0.05;
  sim.network.faults.requestLostChance = 0.05;
  const history = new BlockHistory({ volumeTag: seed, sizeBytes: BLOCKS * BLOCK, now: () => sim.now });
  let store = machine.startProcess('store', server(toy));
  const clients = ['c1', 'c2', 'c3'].map((name) =>
    sim.machine(name).startProcess('client', client(name, machine.address, history)),
  );
  const crash = (): void => {
    store.crash({ peers: sim.random.chance(0.5) ? 'silence' : 'reset' });
    store = machine.startProcess('store', server(toy));
    sim.schedule(sim.random.between(20, 150), crash);
  };
  sim.schedule(100, crash);
  try {
    for (const each of clients) await sim.settle(each.started);
  } catch (error) {
    return (error as Error).message;
  }
  assert.ok(history.sectorsChecked > 500, `only ${history.sectorsChecked} sectors were checked`);
  return null;
}

test('a store that answers when the bytes are durable passes', async () => {
  for (let seed = 1; seed <= 8; seed += 1) assert.is(await run(seed, {}), null, `seed ${seed}`);
});

test('a store that answers too early, or writes to the wrong place, is caught', async () => {
  let forgetful = 0;
  let sloppy = 0;
  for (let seed = 1; seed <= 8; seed += 1) {
    if (/certain/.test((await run(seed, { isForgetful: true })) ?? '')) forgetful += 1;
    if (/misplaced bytes|certain/.test((await run(seed, { isSloppy: true })) ?? '')) sloppy += 1;
  }
  assert.is(sloppy, 8);
  assert.ok(forgetful >= 6, `caught ${forgetful} of 8`);
});

test.run();

// Finding the conductor that serves, and sending again without doing twice; in the simulated world.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../base/errors.ts';
import { Simulator } from '../sim/simulator.ts';
import type { SimProcess } from '../sim/sim-process.ts';
import type { HttpHandler, HttpResponse } from '../world/http.ts';
import type { World } from '../world/world.ts';
import { errorReply, httpStatusOf } from './errors.ts';
import { ConductorClient } from './conductor-client.ts';
import { jsonResponse } from './router.ts';

class Conductors {
  readonly sim = new Simulator(1);
  readonly addresses: string[] = [];
  readonly processes: SimProcess[] = [];
  readonly asked: number[] = [];
  readonly targets: string[] = [];
  readonly #client = this.sim.machine('client').startProcess('client', () => Promise.resolve());

  async add(answer: HttpHandler): Promise<void> {
    const index = this.addresses.length;
    const host = this.sim.machine(`conductor${index}`);
    this.addresses.push(`${host.address}:49180`);
    const process = host.startProcess('conductor', async (world) => {
      await world.http.serve('0.0.0.0', 49180, (request) => {
        this.asked.push(index);
        this.targets.push([...request.query].map(([key, value]) => `${key}=${value}`).join('&'));
        return answer(request);
      });
    });
    this.processes.push(process);
    await this.sim.settle(process.started);
  }

  ask<T>(work: (client: ConductorClient, world: World) => Promise<T>): Promise<T> {
    return this.#client.perform((world) => work(new ConductorClient(world, this.addresses), world));
  }
}

const stores = (): Promise<HttpResponse> =>
  Promise.resolve(jsonResponse(200, { op: 'list_store_reply', ret_code: 0, store_nodes: [] }));
const failing = (code: 'NOT_READY' | 'UNAVAILABLE' | 'NOT_FOUND') => (): Promise<HttpResponse> =>
  Promise.resolve(jsonResponse(httpStatusOf(code), errorReply('x', code, new PfError(code, 'so it is'))));
const silent = (): Promise<HttpResponse> => new Promise(() => undefined);

async function rejection(promise: Promise<unknown>): Promise<PfError> {
  try {
    await promise;
  } catch (error) {
    return error as PfError;
  }
  throw new Error('it did not fail');
}

test('conductors that do not lead, are dead or silent are passed over; the one that served is asked first next time', async () => {
  const conductors = new Conductors();
  await conductors.add(failing('NOT_READY'));
  await conductors.add(stores);
  conductors.processes[1]!.kill();
  await conductors.add(silent);
  await conductors.add(stores);
  await conductors.ask(async (client) => {
    assert.equal(await client.listStore(), []);
    assert.equal(await client.listStore(), []);
  });
  assert.equal(conductors.asked, [0, 2, 3, 3]);
});

test('an error of the operation is final', async () => {
  const conductors = new Conductors();
  await conductors.add(failing('UNAVAILABLE'));
  await conductors.add(stores);
  assert.is((await rejection(conductors.ask((client) => client.listStore()))).code, 'UNAVAILABLE');
  assert.equal(conductors.asked, [0]);
});

test('at the deadline the error names who was tried', async () => {
  const conductors = new Conductors();
  await conductors.add(failing('NOT_READY'));
  const startedAt = conductors.sim.now;
  const error = await rejection(conductors.ask((client) => client.listStore({ deadlineMs: 3000 })));
  assert.is(error.code, 'UNAVAILABLE');
  assert.match(error.message, /^no conductor answered list_store within 3000 ms \(tried 10\.0\.0\.2:49180\)/);
  const tookMs = conductors.sim.now - startedAt;
  assert.ok(tookMs > 2400 && tookMs <= 3000, `${tookMs}`);
  assert.ok(conductors.asked.length < 15, `${conductors.asked.length} attempts in 3 s`);
});

test('a creation carries the same request id in every attempt, another one in the next call', async () => {
  const conductors = new Conductors();
  let attempts = 0;
  await conductors.add(() => {
    attempts += 1;
    return attempts === 1
      ? failing('NOT_READY')()
      : Promise.resolve(jsonResponse(200, { op: 'create_volume_reply', ret_code: 0 }));
  });
  await conductors.ask(async (client) => {
    await client.createVolume('v', { sizeBytes: 4096 });
    await client.createVolume('w', { sizeBytes: 4096 });
  });
  const ids = conductors.targets.map((target) => /request_id=([0-9a-f-]{36})$/.exec(target)?.[1]);
  assert.is(ids.length, 3);
  assert.ok(ids[0] !== undefined && ids[0] === ids[1] && ids[1] !== ids[2]);
});

test('a deletion whose first answer was lost and that finds nothing the second time is done', async () => {
  const conductors = new Conductors();
  await conductors.add(silent);
  await conductors.add(failing('NOT_FOUND'));
  assert.equal(await conductors.ask((client) => client.deleteVolume('v', { deadlineMs: 30_000 })), {
    op: 'delete_volume_reply',
    ret_code: 0,
    pending_stores: [],
  });
  const fresh = new Conductors();
  await fresh.add(failing('NOT_FOUND'));
  assert.is((await rejection(fresh.ask((client) => client.deleteVolume('v')))).code, 'NOT_FOUND');
});

test('an answer that is no layout is refused, not believed', async () => {
  const conductors = new Conductors();
  await conductors.add(() =>
    Promise.resolve(jsonResponse(200, { op: 'open_volume_reply', ret_code: 0, volume_name: 'v', shards: 'none' })),
  );
  const error = await rejection(conductors.ask((client) => client.openVolume('v')));
  assert.is(error.code, 'PROTOCOL_ERROR');
  assert.match((error.cause as Error).message, /^open_volume_reply\.volume_id: /);
});

test('the signal ends a call with its reason', async () => {
  const conductors = new Conductors();
  await conductors.add(silent);
  const stop = new AbortController();
  conductors.sim.schedule(100, () => stop.abort(new Error('enough')));
  assert.is((await rejection(conductors.ask((client) => client.listStore({ signal: stop.signal })))).message, 'enough');
});

test.run();

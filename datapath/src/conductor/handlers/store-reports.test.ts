// A short heartbeat stands only for what the durable state has, too.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ConductorContext } from '../context.ts';
import type { StoreFacts } from '../state/cluster-state.ts';
import { stillAlive } from './store-reports.ts';

const FACTS: StoreFacts = {
  uuid: '10000000-0000-4000-8000-000000000001',
  incarnation: 'now',
  host: 'a',
  dataAddress: '10.0.0.1:49162',
  replicationAddress: null,
  httpAddress: '10.0.0.1:49181',
  version: '1',
  disks: [],
};

/** The store has just been heard with FACTS; the state has `recorded`. */
function answer(recorded: StoreFacts): string {
  const monitor = { hearAgain: () => true, factsOf: () => FACTS };
  const state = { stores: new Map([[1, { ...recorded, id: 1 }]]) };
  const context = { monitor, state } as unknown as ConductorContext;
  try {
    return stillAlive(context, { store_id: 1, incarnation: 'now', report: 2 }).op;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('a store whose last report the state has not recorded is asked for the full one', () => {
  assert.is(answer(FACTS), 'still_alive_reply');
  assert.is(answer({ ...FACTS, version: '0' }), 'NOT_FOUND', 'its return was recorded while it told something new');
  assert.is(
    answer({ ...FACTS, incarnation: 'before' }),
    'still_alive_reply',
    'its return is still to be recorded, with all of it',
  );
});

test.run();

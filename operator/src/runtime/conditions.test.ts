import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findCondition, isConditionTrue, removeCondition, setCondition, type Condition } from './conditions.ts';

const T1 = '2026-01-31T12:00:00Z';
const T2 = '2026-01-31T12:05:00Z';
const ready: Condition = {
  type: 'Ready',
  status: 'False',
  reason: 'StoresMissing',
  message: '2 of 3 stores',
  observedGeneration: 1,
  lastTransitionTime: T1,
};

test('a new condition starts at the time it is given', () => {
  const { lastTransitionTime: _, ...change } = ready;
  assert.equal(setCondition([], change, T1), [ready]);
});

test('the same status with other words keeps its time', () => {
  const list = setCondition([ready], { type: 'Ready', status: 'False', reason: 'StoresMissing', message: '1 of 3 stores' }, T2);
  assert.equal(list, [
    { type: 'Ready', status: 'False', reason: 'StoresMissing', message: '1 of 3 stores', lastTransitionTime: T1 },
  ]);
});

test('another status moves the time, in the same place of the list', () => {
  const other: Condition = { ...ready, type: 'Upgrading' };
  const list = setCondition(
    [ready, other],
    { type: 'Ready', status: 'True', reason: 'AllUp', message: '', observedGeneration: 2 },
    T2,
  );
  assert.equal(list, [
    { type: 'Ready', status: 'True', reason: 'AllUp', message: '', observedGeneration: 2, lastTransitionTime: T2 },
    other,
  ]);
});

test('nothing new gives back the same list', () => {
  const list = [ready];
  const { lastTransitionTime: _, ...change } = ready;
  assert.is(setCondition(list, change, T2), list);
  assert.is(removeCondition(list, 'Upgrading'), list);
});

test('a message too long for the API server is cut before it is compared', () => {
  const change = { type: 'Ready', status: 'False', reason: 'Long', message: 'x'.repeat(40_000) } as const;
  const list = setCondition([], change, T1);
  assert.is(list[0]!.message.length, 32_768);
  assert.is(setCondition(list, change, T2), list);
});

test('removed and asked for', () => {
  assert.equal(removeCondition([ready], 'Ready'), []);
  assert.is(findCondition([ready], 'Ready'), ready);
  assert.is(findCondition(undefined, 'Ready'), null);
  assert.not(isConditionTrue([ready], 'Ready'));
});

test.run();

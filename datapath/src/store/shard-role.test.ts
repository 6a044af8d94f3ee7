// Scripts of a shard's role: configurations and heartbeats with times, and what may be served.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ReplicaStatus, ShardConfig } from '../api/model.ts';
import { GRANT_MS, ShardRole } from './shard-role.ts';

/** "7 a* b c?" = meta version 7, replicas on stores 1, 2, 3: a is primary, c recovering; "-c" is out of sync. */
function config(text: string): ShardConfig {
  const [version, ...replicas] = text.split(' ');
  return {
    index: 0,
    meta_ver: Number(version),
    primary_rep_index: replicas.findIndex((each) => each.endsWith('*')),
    status: 'OK',
    replicas: replicas.map((each, index) => {
      const status: ReplicaStatus = each.endsWith('?') ? 'RECOVERING' : each.startsWith('-') ? 'OUT_OF_SYNC' : 'IN_SYNC';
      const letter = each.replace(/[-*?]/g, '');
      return { id: index, index, store_id: letter.charCodeAt(0) - 96, disk_uuid: '', status, address: '', http_address: '' };
    }),
  };
}

const A = 1;
const B = 2;
const LONG_AGO = -100_000;

test('the first configuration of a store that has run for long is taken at once', () => {
  const role = new ShardRole(A, LONG_AGO);
  assert.is(role.offer(config('1 a* b'), 0, true), 'taken');
  assert.is(role.role, 'PRIMARY');
  assert.is(role.promotion, 'full');
});

test('a store that has just started waits before it is primary of several replicas', () => {
  const role = new ShardRole(A, 500);
  assert.is(role.offer(config('4 a* b'), 600, true), 'waiting');
  assert.is(role.isClosing, true);
  assert.is(role.pendingUntil, 1500);
  assert.is(role.tryTake(1499, true), false);
  assert.is(role.tryTake(1500, true), true);
  assert.is(role.metaVersion, 4);
});

test('a store that has just started does not wait as a secondary, nor as the only replica', () => {
  assert.is(new ShardRole(B, 500).offer(config('4 a* b'), 600, true), 'taken');
  assert.is(new ShardRole(A, 500).offer(config('4 a*'), 600, true), 'taken');
});

test('an older configuration changes nothing, the same one refreshes addresses', () => {
  const role = new ShardRole(A, LONG_AGO);
  role.offer(config('5 a* b'), 0, true);
  assert.is(role.offer(config('4 a b*'), 1, true), 'known');
  assert.is(role.offer(config('5 a* b'), 2, true), 'known');
  assert.is(role.metaVersion, 5);
});

test('a promise to the old primary runs out before another one is taken', () => {
  const role = new ShardRole(B, LONG_AGO);
  role.offer(config('5 a* b c'), 0, true);
  assert.is(role.promise(5, 100), true);
  assert.is(role.offer(config('6 a b* c'), 400, true), 'waiting');
  assert.is(role.promise(5, 401), false, 'the old primary gets no promise any more');
  assert.is(role.pendingUntil, 100 + GRANT_MS);
  assert.is(role.tryTake(1099, true), false);
  assert.is(role.tryTake(1100, true), true);
  assert.is(role.role, 'PRIMARY');
  assert.is(role.promotion, 'limited');
});

test('the same holds for a secondary that stays secondary', () => {
  const role = new ShardRole(3, LONG_AGO);
  role.offer(config('5 a* b c'), 0, true);
  role.promise(5, 100);
  assert.is(role.offer(config('6 a b* c'), 400, true), 'waiting');
  assert.is(role.tryTake(1100, true), true);
  assert.is(role.role, 'SECONDARY');
});

test('writes under way to the local disk are waited for before another primary is taken', () => {
  const role = new ShardRole(B, LONG_AGO);
  role.offer(config('5 a* b'), 0, true);
  assert.is(role.offer(config('6 a b*'), 10, false), 'waiting');
  assert.is(role.tryTake(5000, false), false);
  assert.is(role.tryTake(5000, true), true);
});

test('a newer configuration with the same primary is taken at once, promise and writes or not', () => {
  const role = new ShardRole(B, LONG_AGO);
  role.offer(config('5 a* b c'), 0, true);
  role.promise(5, 100);
  assert.is(role.offer(config('6 a* b -c'), 200, false), 'taken');
  assert.is(role.promise(5, 201), false, 'the old version is not answered');
  assert.is(role.promise(6, 202), true);
});

test('a replica that comes back waits for its old writes, which would be late', () => {
  const role = new ShardRole(3, LONG_AGO);
  role.offer(config('5 a* b -c'), 0, true);
  assert.is(role.offer(config('6 a* b c?'), 10, false), 'waiting');
  assert.is(role.tryTake(11, true), true);
  assert.is(role.isRecovering, true);
});

test('a configuration that comes while another one waits replaces it, and keeps the promise', () => {
  const role = new ShardRole(B, LONG_AGO);
  role.offer(config('5 a* b c'), 0, true);
  role.promise(5, 0);
  role.offer(config('6 a b* c'), 100, true);
  assert.is(role.offer(config('7 a b c*'), 200, true), 'waiting');
  assert.is(role.newestMetaVersion, 7);
  assert.is(role.tryTake(1000, true), true);
  assert.is(role.metaVersion, 7);
  assert.is(role.role, 'SECONDARY');
});

test('a primary reads as long as every in-sync secondary has promised, counted from sending', () => {
  const role = new ShardRole(A, LONG_AGO);
  role.offer(config('5 a* b c'), 0, true);
  assert.is(role.grantedUntil, -Infinity);
  role.granted(1, 10);
  assert.is(role.grantedUntil, -Infinity, 'c has not promised');
  role.granted(2, 20);
  assert.is(role.grantedUntil, 1000);
  role.granted(1, 300);
  assert.is(role.grantedUntil, 1010);
});

test('a primary that is the only in-sync replica needs no promise, but one of a replica that it has reported as recovered', () => {
  const role = new ShardRole(A, LONG_AGO);
  role.offer(config('5 a* b? -c'), 0, true);
  assert.is(role.grantedUntil, Infinity);
  role.needGrantOf(1);
  assert.is(role.grantedUntil, -Infinity);
  role.granted(1, 50);
  assert.is(role.grantedUntil, 1040);
});

test('promises live on in a configuration with the same primary, and end with another one', () => {
  const role = new ShardRole(A, LONG_AGO);
  role.offer(config('5 a* b'), 0, true);
  role.promotion = 'none';
  role.granted(1, 10);
  role.offer(config('6 a* b'), 20, true);
  assert.is(role.grantedUntil, 1000);
  assert.is(role.promotion, 'none');
  role.offer(config('7 a b*'), 30, true);
  role.offer(config('8 a* b'), 40, true);
  assert.is(role.grantedUntil, -Infinity);
  assert.is(role.promotion, 'limited');
});

test('skipped versions are noticed', () => {
  const role = new ShardRole(A, LONG_AGO);
  role.offer(config('5 a* b'), 0, true);
  assert.is(role.hasSkipped, false);
  role.offer(config('7 a* b'), 1, true);
  assert.is(role.hasSkipped, true);
  role.offer(config('8 a* b'), 2, true);
  assert.is(role.hasSkipped, false);
});

test('an out-of-sync replica and a stranger promise nothing', () => {
  const role = new ShardRole(3, LONG_AGO);
  role.offer(config('5 a* b -c'), 0, true);
  assert.is(role.promise(5, 1), false);
  const stranger = new ShardRole(4, LONG_AGO);
  stranger.offer(config('5 a* b c'), 0, true);
  assert.is(stranger.role, 'NONE');
  assert.is(stranger.promise(5, 1), false);
});

test.run();

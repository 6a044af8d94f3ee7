// What is read from PersistentVolumes, and found again.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '../api/objects.ts';
import { claimedVolumeOf, ClaimedVolumes, keepOfClaimed } from './claimed-volumes.ts';
import { persistentVolume } from './testing/persistent-volumes.ts';

test('a PersistentVolume says which volume a claim has', () => {
  assert.equal(claimedVolumeOf(persistentVolume()), {
    name: 'pvc-1',
    volumeName: 'pvc-1',
    capacity: '1Gi',
    claim: { namespace: 'app', name: 'data', uid: 'claim-1' },
  });
});

test('only of our driver, and while the claim is bound', () => {
  const others: Record<string, object> = {
    'of another driver': { csi: { driver: 'csi.example', volumeHandle: 'pvc-1' } },
    'of no driver': { csi: undefined },
    'without a claim': { claimRef: undefined },
    'kept for a claim that is not there yet': { claimRef: { namespace: 'app', name: 'data' } },
  };
  for (const [what, spec] of Object.entries(others)) assert.is(claimedVolumeOf(persistentVolume({ spec })), null, what);
  for (const phase of ['Pending', 'Available', 'Released', 'Failed'])
    assert.is(claimedVolumeOf(persistentVolume({ phase })), null, phase);
  assert.is(claimedVolumeOf(null), null);
});

test('the cache holds no more than is read, and of other drivers no more than the name', () => {
  const whole = persistentVolume();
  assert.equal(claimedVolumeOf(keepOfClaimed(whole)), claimedVolumeOf(whole));
  assert.equal(keepOfClaimed(persistentVolume({ spec: { csi: { driver: 'csi.example', volumeHandle: 'x' } } })), {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pvc-1', uid: 'pv-uid', resourceVersion: '7' },
  });
});

test('it is found by its claim and by its volume, until it is gone', () => {
  const volumes = new ClaimedVolumes();
  const volume = claimedVolumeOf(persistentVolume())!;
  volumes.set('pvc-1', volume);
  assert.is(volumes.ofClaim('app/data'), volume);
  assert.equal(volumes.ofVolume('pvc-1'), [volume]);
  assert.equal(volumes.claims(), ['app/data']);
  const moved = { ...volume, claim: { ...volume.claim, name: 'other' } };
  volumes.set('pvc-1', moved);
  assert.equal([volumes.ofClaim('app/data'), volumes.ofClaim('app/other')], [null, moved]);
  volumes.set('pvc-1', null);
  assert.equal([volumes.ofClaim('app/other'), volumes.ofVolume('pvc-1')], [null, []]);
  assert.equal(volumes.claims(), []);
});

test('what a claim has left behind is still kept for somebody', () => {
  const volumes = new ClaimedVolumes();
  const listeners: ((ref: { name: string }, object: KubeObject | null) => void)[] = [];
  volumes.follow({ subscribe: (listener: (typeof listeners)[0]) => void listeners.push(listener) } as never);
  const tell = (object: KubeObject | null): void => listeners[0]!({ name: 'pvc-1' }, object);
  tell(persistentVolume());
  assert.is(volumes.holderOf('pvc-1'), 'claim app/data');
  for (const phase of ['Pending', 'Available', 'Released', 'Failed']) {
    tell(keepOfClaimed(persistentVolume({ phase })));
    assert.is(volumes.holderOf('pvc-1'), 'PersistentVolume pvc-1', phase);
    assert.equal(volumes.ofVolume('pvc-1'), []);
  }
  tell(null);
  assert.is(volumes.holderOf('pvc-1'), null);
});

test('of two for one claim it is always the same', () => {
  for (const order of [
    ['a', 'b'],
    ['b', 'a'],
  ]) {
    const volumes = new ClaimedVolumes();
    for (const name of order) volumes.set(name, { ...claimedVolumeOf(persistentVolume())!, name });
    assert.is(volumes.ofClaim('app/data')!.name, 'a');
    volumes.set('a', null);
    assert.is(volumes.ofClaim('app/data')!.name, 'b');
  }
});

test.run();

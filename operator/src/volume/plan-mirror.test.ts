// What is decided about the mirror of a claim, case by case.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ObjectMeta } from '../api/objects.ts';
import { check } from '../api/validate.ts';
import { VOLUME } from '../api/v1alpha1/kinds.ts';
import { claimedVolumeOf } from './claimed-volumes.ts';
import { mirrorRefusal, mirrorStatus, planMirror, type MirrorView } from './plan-mirror.ts';
import type { VolumeFacts } from './plan-volume.ts';
import { persistentVolume } from './testing/persistent-volumes.ts';
import type { Volume } from './volume-ports.ts';

const GiB = 1024 ** 3;
const CLUSTER = { name: 'demo', namespace: 'storage' };
const CLAIMED = claimedVolumeOf(persistentVolume())!;
const FOUND: VolumeFacts = { id: 7, sizeBytes: GiB, replicas: 2, health: 'OK', attachedTo: null };
const NOW = '2026-01-01T00:00:00Z';

const view = (patch: Partial<MirrorView> = {}): MirrorView => ({
  claimed: CLAIMED,
  cluster: CLUSTER,
  found: FOUND,
  resource: null,
  ...patch,
});

/** As the API server would have it after the creation. */
function mirror(spec: object = {}, metadata: Partial<ObjectMeta> = {}): Volume {
  const action = planMirror(view());
  if (action.kind !== 'create') throw new Error('nothing was created');
  const made = action.object as Volume;
  const { value } = check(VOLUME.spec, { ...made.spec, ...spec } as never, 'spec');
  return {
    ...made,
    metadata: { ...made.metadata, uid: 'mirror-1', resourceVersion: '12', generation: 1, ...metadata },
    spec: value as unknown as Volume['spec'],
  };
}

/** As a user applies it. */
const applied = (spec: object = {}): Volume => mirror({ origin: 'Volume', ...spec }, { labels: {}, ownerReferences: [] });

test('a bound claim gets a mirror with its name, marked as one and owned by it', () => {
  assert.equal(planMirror(view()), {
    kind: 'create',
    object: {
      apiVersion: 'pureflash.io/v1alpha1',
      kind: 'Volume',
      metadata: {
        name: 'data',
        namespace: 'app',
        labels: {
          'pureflash.io/mirror': 'true',
          'pureflash.io/cluster': 'demo',
          'pureflash.io/cluster-namespace': 'storage',
          'app.kubernetes.io/managed-by': 'pureflash-operator',
        },
        ownerReferences: [
          {
            apiVersion: 'v1',
            kind: 'PersistentVolumeClaim',
            name: 'data',
            uid: 'claim-1',
            controller: false,
            blockOwnerDeletion: false,
          },
        ],
      },
      spec: { clusterName: 'demo', size: '1Gi', replicas: 2, deletionPolicy: 'Retain', origin: 'Claim' },
    },
  });
});

test('what is as it shall be costs no write, and a mirror of a silent conductor stays as it is', () => {
  assert.is(planMirror(view({ resource: mirror() })).kind, 'none');
  assert.is(planMirror(view({ resource: mirror({ size: '1024Mi' }) })).kind, 'none', 'the same size in other words');
  assert.is(planMirror(view({ resource: mirror(), found: null })).kind, 'none');
  assert.is(planMirror(view({ resource: mirror({}, { labels: { ...mirror().metadata.labels, mine: 'x' } }) })).kind, 'none');
});

test('there is none before the conductor knows the volume, and none without a claim', () => {
  assert.is(planMirror(view({ found: null })).kind, 'none');
  assert.is(planMirror(view({ claimed: null })).kind, 'none');
  assert.is(planMirror(view({ claimed: null, resource: mirror() })).kind, 'remove');
});

test('it grows with its claim', () => {
  const claimed = { ...CLAIMED, capacity: '2Gi' };
  const action = planMirror(view({ claimed, resource: mirror() }));
  assert.is(action.kind, 'correct');
  const patch =
    action.kind === 'correct' ? (action.patch as { spec: { size: string }; metadata: { resourceVersion: string } }) : null;
  assert.equal([patch?.spec.size, patch?.metadata.resourceVersion], ['2Gi', '12']);
});

test('what a user edits is put back, by a new one where the API server lets nobody change it', () => {
  assert.is(planMirror(view({ resource: mirror({ deletionPolicy: 'Delete' }) })).kind, 'correct');
  assert.is(planMirror(view({ resource: mirror({}, { labels: {} }) })).kind, 'correct');
  assert.is(planMirror(view({ resource: mirror({}, { ownerReferences: [] }) })).kind, 'correct');
  const [owner] = mirror().metadata.ownerReferences!;
  assert.is(planMirror(view({ resource: mirror({}, { ownerReferences: [{ ...owner!, uid: 'claim-0' }] }) })).kind, 'correct');
  for (const spec of [{ size: '2Gi' }, { replicas: 3 }, { clusterName: 'other' }])
    assert.is(planMirror(view({ resource: mirror(spec) })).kind, 'remove', JSON.stringify(spec));
});

test('a deleted one is waited for, whoever holds it up', () => {
  const resource = mirror({ size: '2Gi' }, { deletionTimestamp: NOW, finalizers: ['example.com/x'] });
  assert.is(planMirror(view({ resource })).kind, 'none');
  assert.is(planMirror(view({ resource, claimed: null })).kind, 'none');
});

test("a user's Volume is left alone, with whatever labels, and people are told", () => {
  for (const resource of [applied(), { ...applied(), metadata: mirror().metadata }]) {
    for (const claimed of [CLAIMED, null]) assert.is(planMirror(view({ resource, claimed })).kind, 'none');
    assert.match(mirrorRefusal(view({ resource }))!, 'volume pvc-1 of this claim is not mirrored');
    assert.is(mirrorRefusal(view({ resource, claimed: null })), null);
  }
  assert.is(mirrorRefusal(view({ resource: mirror() })), null);
});

test('nothing is said where the Volume is the very volume of the claim', () => {
  const claimed = { ...CLAIMED, volumeName: 'data' };
  const there = { name: 'demo', namespace: 'app' };
  assert.is(mirrorRefusal(view({ claimed, resource: applied(), cluster: there })), null);
  assert.type(mirrorRefusal(view({ claimed, resource: applied() })), 'string', 'a cluster of that name elsewhere');
});

test('a capacity that is written otherwise gives way to what the conductor says; one that no Volume can have is not mirrored', () => {
  const odd = { ...CLAIMED, capacity: '1e9' };
  const action = planMirror(view({ claimed: odd }));
  assert.is(action.kind === 'create' ? (action.object['spec'] as { size: number }).size : null, GiB);
  assert.is(planMirror(view({ claimed: { ...CLAIMED, capacity: '4Ki' } })).kind, 'none');
});

test('its status is made from the claim and from the conductor, whatever stood there', () => {
  const resource = mirror({ clusterName: 'other', size: '5Gi', replicas: 3 });
  const lying: Volume = { ...resource, status: { phase: 'Ready', volumeId: 99, volumeName: 'x', attachedTo: 'y', claim: 'z/z' } };
  const found: VolumeFacts = { ...FOUND, health: 'DEGRADED', attachedTo: 'node-2' };
  assert.equal(mirrorStatus(lying, { found, claimed: CLAIMED }, { generation: 3, now: NOW }), {
    observedGeneration: 3,
    phase: 'Degraded',
    conditions: [
      {
        type: 'Ready',
        status: 'True',
        reason: 'ReplicaMissing',
        message: 'served, with a replica missing',
        observedGeneration: 3,
        lastTransitionTime: NOW,
      },
    ],
    volumeName: 'pvc-1',
    claim: 'app/data',
    volumeId: 7,
    sizeBytes: GiB,
    attachedTo: 'node-2',
  });
});

test('a volume that the conductor has not got any more is told of', () => {
  const status = mirrorStatus(mirror(), { found: null, claimed: CLAIMED }, { generation: 1, now: NOW });
  assert.equal([status.phase, status.conditions![0]!.reason, status.sizeBytes], ['Pending', 'NoVolume', undefined]);
});

test.run();

// What is decided about a volume, case by case.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from '../api/validate.ts';
import { VOLUME } from '../api/v1alpha1/kinds.ts';
import type { VolumeSpec } from '../api/v1alpha1/volume.ts';
import { planVolume, type VolumeFacts, type VolumePlan, type VolumeView } from './plan-volume.ts';

const MiB = 1024 * 1024;

const found = (patch: Partial<VolumeFacts> = {}): VolumeFacts => ({
  id: 7,
  sizeBytes: 64 * MiB,
  replicas: 3,
  health: 'OK',
  attachedTo: null,
  ...patch,
});

function planned(patch: Partial<VolumeView> = {}, spec: object = {}): VolumePlan {
  return planVolume({
    spec: parse(VOLUME.spec, { clusterName: 'demo', size: '64Mi', ...spec } as never, 'spec') as VolumeSpec,
    isDeleting: false,
    volumeId: null,
    holder: null,
    cluster: { isThere: true },
    found: null,
    ...patch,
  });
}

const silent = { isThere: false, reason: 'ClusterNotReady', message: 'no conductor answers' } as const;

test('a volume is made, in whole blocks, and adopted when its creation was not noted down', () => {
  assert.equal(planned().action, { kind: 'create', sizeBytes: 64 * MiB, replicas: 3 });
  assert.equal(planned({}, { size: '1500M' }).action, { kind: 'create', sizeBytes: 366211 * 4096, replicas: 3 });
  const adopted = planned({ found: found() });
  assert.equal([adopted.action.kind, adopted.phase], ['none', 'Ready']);
});

test('a name that another volume has is left alone', () => {
  for (const other of [found({ replicas: 2 }), found({ sizeBytes: 128 * MiB })]) {
    const plan = planned({ found: other });
    assert.equal([plan.action.kind, plan.phase, plan.condition.reason], ['none', 'Failed', 'NameTaken']);
  }
  const replaced = planned({ volumeId: 6, found: found() });
  assert.equal([replaced.action.kind, replaced.condition.reason], ['none', 'NameTaken']);
  assert.is(planned({ volumeId: 6, found: found(), isDeleting: true }, { deletionPolicy: 'Delete' }).action.kind, 'release');
});

test("a claim's volume is taken over by nobody, whatever its shape, and not deleted", () => {
  const plan = planned({ holder: 'claim app/data', found: found() });
  assert.equal([plan.action.kind, plan.phase, plan.condition.reason], ['none', 'Failed', 'NameTaken']);
  assert.match(plan.condition.message, 'that of claim app/data');
  assert.is(planned({ holder: 'claim app/data', found: found() }, { size: '128Mi' }).action.kind, 'none', 'nor made larger');
  const gone = planned({ holder: 'claim app/data', found: found(), isDeleting: true }, { deletionPolicy: 'Delete' });
  assert.is(gone.action.kind, 'release');
  assert.is(planned({ holder: 'claim app/data', volumeId: 7, found: found() }).phase, 'Ready', 'one of ours that a claim uses');
});

test('a volume that was deleted behind its back is not made again', () => {
  const plan = planned({ volumeId: 7 });
  assert.equal([plan.action.kind, plan.phase, plan.condition.reason], ['none', 'Failed', 'VolumeLost']);
});

test('it grows, and never shrinks', () => {
  assert.equal(planned({ volumeId: 7, found: found() }, { size: '128Mi' }).action, { kind: 'grow', sizeBytes: 128 * MiB });
  assert.equal(planned({ volumeId: 7, found: found({ sizeBytes: 128 * MiB }) }).action, { kind: 'none' });
});

test('health becomes a phase', () => {
  const phases = (['OK', 'DEGRADED', 'ERROR'] as const).map((health) => planned({ volumeId: 7, found: found({ health }) }));
  assert.equal(
    phases.map((plan) => [plan.phase, plan.condition.status]),
    [
      ['Ready', 'True'],
      ['Degraded', 'True'],
      ['Offline', 'False'],
    ],
  );
  assert.is(planned({ cluster: silent }).phase, 'Pending');
});

test('deletion: by policy, never while attached, and not blindly', () => {
  const ask = (patch: Partial<VolumeView>, deletionPolicy = 'Delete') =>
    planned({ isDeleting: true, volumeId: 7, found: found(), ...patch }, { deletionPolicy });
  assert.is(ask({}).action.kind, 'delete');
  assert.is(ask({}, 'Retain').action.kind, 'release');
  assert.equal(
    [ask({ found: found({ attachedTo: 'n1' }) }).action.kind, ask({ found: found({ attachedTo: 'n1' }) }).condition.reason],
    ['none', 'Attached'],
  );
  assert.is(ask({ cluster: silent, found: null }).action.kind, 'none');
  assert.is(ask({ cluster: { ...silent, reason: 'NoCluster' }, found: null }).action.kind, 'release', 'its cluster is gone');
  assert.is(ask({ found: null }).action.kind, 'release', 'gone already');
  assert.is(ask({ volumeId: null }).action.kind, 'release', 'it never had one');
});

test('the mirror of a claim changes nothing', () => {
  const claim = { origin: 'Claim' };
  assert.is(planned({}, claim).action.kind, 'none');
  assert.is(planned({ volumeId: 7, found: found() }, { ...claim, size: '128Mi' }).action.kind, 'none');
  assert.is(
    planned({ isDeleting: true, volumeId: 7, found: found() }, { ...claim, deletionPolicy: 'Delete' }).action.kind,
    'release',
  );
});

test.run();

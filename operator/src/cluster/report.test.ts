// What resources say of themselves: of every kind of store, of a cluster that stands, and nothing new while nothing changes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { StorageClusterStatus } from '../api/v1alpha1/storage-cluster.ts';
import type { StoreStatus } from '../api/v1alpha1/store.ts';
import type { StoreInstance } from '../plan/cluster-plan.ts';
import { planCluster } from '../plan/plan-cluster.ts';
import { carriedOut, controlOf, nodeOf, plainHash, specOf, viewOf } from '../plan/testing/views.ts';
import type { ClusterView, StoreView } from '../plan/view.ts';
import { clusterStatus, storeStatus, type Stamp } from './report.ts';

const FIRST: Stamp = { generation: 1, now: '2026-01-01T00:00:00Z' };
const LATER: Stamp = { generation: 1, now: '2026-01-01T00:01:00Z' };

/** A cluster that stands. */
function standing(): ClusterView {
  const fresh = viewOf();
  return carriedOut(fresh, planCluster(fresh, plainHash));
}

function instanceOn(view: ClusterView, node: string): StoreInstance {
  return planCluster(view, plainHash).stores.find((each) => each.instance.node === node)!.instance;
}

/** The same view, with what the conductor says of store 2 changed. */
function hearing(patch: Partial<StoreView>): ClusterView {
  const stores = controlOf([1, 2, 3]).stores.map((store) => (store.id === 2 ? { ...store, ...patch } : store));
  return { ...standing(), control: controlOf([1, 2, 3], { stores }) };
}

/** Of the store on n2. */
function report(view: ClusterView, before?: StoreStatus, stamp = FIRST): StoreStatus {
  return storeStatus(before, view, instanceOn(view, 'n2'), null, stamp);
}

/** "False/Silent since 2026-01-01T00:00:00Z" */
function said(status: StoreStatus | StorageClusterStatus, type: string): string {
  const found = status.conditions!.find((each) => each.type === type)!;
  return `${found.status}/${found.reason} since ${found.lastTransitionTime}`;
}

const diskOf = (device: string, patch: Partial<StoreView['disks'][number]> = {}): StoreView['disks'][number] => ({
  uuid: `disk ${device}`,
  device,
  isHealthy: true,
  capacity: 1000,
  free: 900,
  ...patch,
});

const HEALTHY: StoreStatus = {
  observedGeneration: 1,
  conditions: [
    {
      type: 'Online',
      status: 'True',
      reason: 'Online',
      message: 'the conductor hears it',
      observedGeneration: 1,
      lastTransitionTime: '2026-01-01T00:00:00Z',
    },
    {
      type: 'DisksHealthy',
      status: 'True',
      reason: 'Healthy',
      message: '1 disks without an error',
      observedGeneration: 1,
      lastTransitionTime: '2026-01-01T00:00:00Z',
    },
  ],
  storeId: 2,
  storeUuid: 's2',
  address: '10.0.0.2:49162',
  failureDomain: 'n2',
  image: 'localhost/pureflash:1.2.0',
  disks: [{ uuid: 'd2', device: '/var/lib/pureflash/disk.img', status: 'OK', capacity: 100, freePercent: 90 }],
};

test('a store that the conductor hears says who it is, where, and what it has', () => {
  assert.equal(report(standing()), HEALTHY);
});

test('while nothing changes the status stays equal, times included', () => {
  assert.equal(report(standing(), HEALTHY, LATER), HEALTHY);
});

test('a store that falls silent is not online since then, and keeps what is known of it', () => {
  const silent = report(hearing({ isOnline: false }), HEALTHY, LATER);
  const [online, disks] = HEALTHY.conditions!;
  const message = 'the conductor does not hear it any more';
  assert.equal(silent, {
    ...HEALTHY,
    conditions: [{ ...online!, status: 'False', reason: 'Silent', message, lastTransitionTime: LATER.now }, disks!],
  });
});

test('a store that the conductor has never heard of is starting', () => {
  const status = report({ ...standing(), control: controlOf([1, 3]) });
  assert.equal(status, {
    observedGeneration: 1,
    conditions: [
      {
        type: 'Online',
        status: 'False',
        reason: 'Starting',
        message: 'the conductor has not heard of it yet',
        observedGeneration: 1,
        lastTransitionTime: '2026-01-01T00:00:00Z',
      },
      {
        type: 'DisksHealthy',
        status: 'Unknown',
        reason: 'NotHeard',
        message: 'the conductor has not heard of the store',
        observedGeneration: 1,
        lastTransitionTime: '2026-01-01T00:00:00Z',
      },
    ],
    failureDomain: 'n2',
    image: 'localhost/pureflash:1.2.0',
  });
});

test('while no conductor answers nobody knows who is online; disks are as they were heard last', () => {
  const view = { ...standing(), control: null };
  const status = report(view, HEALTHY, LATER);
  const [online, disks] = HEALTHY.conditions!;
  const message = 'no conductor answers';
  assert.equal(status, {
    ...HEALTHY,
    conditions: [{ ...online!, status: 'Unknown', reason: 'NoAnswer', message, lastTransitionTime: LATER.now }, disks!],
  });
  const failed = report(hearing({ disks: [diskOf('/dev/sda', { isHealthy: false })] }), HEALTHY, LATER);
  const remembered = report(view, failed, { generation: 2, now: '2026-01-01T00:02:00Z' });
  assert.equal(remembered.conditions![1], {
    type: 'DisksHealthy',
    status: 'False',
    reason: 'DiskFailed',
    message: 'failed: /dev/sda',
    observedGeneration: 2,
    lastTransitionTime: LATER.now,
  });
  assert.equal(remembered.disks, failed.disks);
});

test('a disk that failed is named, and the other ones are still in order', () => {
  const disks = [diskOf('/dev/sda'), diskOf('/dev/sdb', { isHealthy: false }), diskOf('/dev/sdc', { isHealthy: false })];
  const status = report(hearing({ disks }), HEALTHY, LATER);
  assert.equal(status.conditions, [
    HEALTHY.conditions![0],
    {
      type: 'DisksHealthy',
      status: 'False',
      reason: 'DiskFailed',
      message: 'failed: /dev/sdb, /dev/sdc',
      observedGeneration: 1,
      lastTransitionTime: LATER.now,
    },
  ]);
  assert.equal(status.disks, [
    { uuid: 'disk /dev/sda', device: '/dev/sda', status: 'OK', capacity: 1000, freePercent: 90 },
    { uuid: 'disk /dev/sdb', device: '/dev/sdb', status: 'ERROR', capacity: 1000, freePercent: 90 },
    { uuid: 'disk /dev/sdc', device: '/dev/sdc', status: 'ERROR', capacity: 1000, freePercent: 90 },
  ]);
  assert.is(said(report(hearing({ disks: [diskOf('/dev/sda')] }), status), 'DisksHealthy'), `True/Healthy since ${FIRST.now}`);
});

test('the share of free space moves in steps of five percent, and does not flutter where two of them meet', () => {
  const shown = (free: number, before?: StoreStatus): number =>
    report(hearing({ disks: [diskOf('/dev/sda', { free })] }), before, LATER).disks![0]!.freePercent;
  assert.equal(
    [0, 49, 50, 899, 900, 949, 1000].map((free) => shown(free)),
    [0, 0, 5, 85, 90, 90, 100],
  );
  const at90 = report(hearing({ disks: [diskOf('/dev/sda', { free: 900 })] }));
  for (const free of [899, 901, 851, 949]) {
    assert.equal(report(hearing({ disks: [diskOf('/dev/sda', { free })] }), at90, LATER), at90, `${free} of 1000 are free`);
  }
  assert.equal(
    [850, 849, 950, 1000].map((free) => shown(free, at90)),
    [85, 80, 95, 100],
  );
  assert.is(report(hearing({ disks: [diskOf('/dev/sda', { capacity: 0, free: 0 })] })).disks![0]!.freePercent, 0);
});

test('a store is found by its management address; its address is where it says that clients reach it', () => {
  const elsewhere = hearing({ dataAddress: '10.1.0.2:50000' });
  assert.equal(report(elsewhere), { ...HEALTHY, address: '10.1.0.2:50000' });
  const swapped = hearing({ dataAddress: '10.0.0.1:49162' });
  assert.is(report(swapped).storeId, 2, 'what another node has for its own clients says nothing');
  const silent = { ...elsewhere, control: null };
  assert.is(report(silent, { ...HEALTHY, address: '10.1.0.2:50000' }).address, '10.1.0.2:50000');
});

test('of several stores that were known at a management address the one that is heard counts, else the latest', () => {
  const [, second] = controlOf([1, 2, 3]).stores;
  const idAmong = (known: readonly (readonly [number, boolean])[]): number | undefined => {
    const stores = known.map(([id, isOnline]) => ({ ...second!, id, uuid: `s${id}`, isOnline }));
    return report({ ...standing(), control: controlOf([], { stores }) }).storeId;
  };
  const heard = [
    [2, false],
    [7, true],
    [9, false],
  ] as const;
  assert.is(idAmong(heard), 7);
  assert.is(idAmong(heard.map(([id]) => [id, false] as const)), 9);
});

test('a node for which no disk is chosen keeps its store by the id that it left', () => {
  const view = hearing({ managementAddress: '10.0.0.99:49181', dataAddress: '10.0.0.99:49162' });
  const status = storeStatus(HEALTHY, view, null, null, LATER);
  assert.equal(status, { ...HEALTHY, address: '10.0.0.99:49162' }, 'it serves while its devices are looked at again');
  const never = storeStatus(undefined, view, null, null, FIRST);
  assert.equal(
    [said(never, 'Online'), said(never, 'DisksHealthy'), never.storeUuid],
    [`False/NoDisk since ${FIRST.now}`, `Unknown/NotHeard since ${FIRST.now}`, undefined],
  );
});

test('the time of a condition is that of its last change of status, whatever its reason says', () => {
  const view = standing();
  const times = ['00:00:00', '00:01:00', '00:02:00', '00:03:00'].map((time) => ({ generation: 1, now: `2026-01-01T${time}Z` }));
  const starting = report({ ...view, control: controlOf([]) }, undefined, times[0]);
  const silent = report(hearing({ isOnline: false }), starting, times[1]);
  assert.is(said(silent, 'Online'), 'False/Silent since 2026-01-01T00:00:00Z');
  const online = report(view, silent, times[2]);
  assert.is(said(online, 'Online'), 'True/Online since 2026-01-01T00:02:00Z');
  assert.is(said(report(view, online, times[3]), 'Online'), 'True/Online since 2026-01-01T00:02:00Z');
});

test('what a look at the host found is kept until the next one', () => {
  const view = standing();
  const devices = [
    { path: '/dev/sda', name: 'sda', sizeBytes: 2 ** 40, use: 'blank', candidate: 'any', isInUse: false },
  ] as const;
  const look = { node: 'n2', selection: 'all', time: '2026-01-01T00:00:00Z', devices };
  const seen = storeStatus(HEALTHY, view, instanceOn(view, 'n2'), look, LATER);
  assert.equal(seen, { ...HEALTHY, discovery: { selection: 'all', time: '2026-01-01T00:00:00Z', devices } });
  assert.equal(report(view, seen, LATER), seen);
});

function reportCluster(view: ClusterView, before?: StorageClusterStatus, stamp = FIRST): StorageClusterStatus {
  return clusterStatus(before, view, planCluster(view, plainHash), stamp);
}

test('a cluster that stands says so, with its counts, its door and its version', () => {
  const view = standing();
  const status = reportCluster(view);
  const { conditions, ...rest } = status;
  assert.equal(rest, {
    observedGeneration: 1,
    phase: 'Ready',
    version: 'localhost/pureflash:1.2.0',
    conductors: { wanted: 1, ready: 1, nodes: ['n1'] },
    stores: { wanted: 3, ready: 3, upgraded: 3 },
    endpoints: ['10.0.0.1:49180'],
    clusterUuid: 'c1',
  });
  assert.equal(conditions![0], {
    type: 'Ready',
    status: 'True',
    reason: 'Serving',
    message: 'conductors and stores are online',
    observedGeneration: 1,
    lastTransitionTime: '2026-01-01T00:00:00Z',
  });
  assert.equal(
    ['Accepted', 'ConductorsReady', 'StoresReady', 'Redundant', 'UpToDate'].map((type) => said(status, type)),
    ['True/Accepted', 'True/Serving', 'True/Online', 'True/Whole', 'True/UpToDate'].map((each) => `${each} since ${FIRST.now}`),
  );
  assert.equal(reportCluster(view, status, LATER), status, 'and nothing new while nothing changes');
});

test('a cluster keeps its id, its version and its door while nobody can say them', () => {
  const view = standing();
  const before = reportCluster(view);
  const silent = reportCluster({ ...view, control: null }, before, LATER);
  assert.equal([silent.clusterUuid, silent.phase, silent.stores!.ready], ['c1', 'Degraded', 0]);
  assert.equal(
    ['Ready', 'Accepted', 'Redundant'].map((type) => said(silent, type)),
    [`False/NoAnswer since ${LATER.now}`, `True/Accepted since ${FIRST.now}`, `Unknown/NoAnswer since ${LATER.now}`],
  );
  const gone = reportCluster({ ...view, nodes: [nodeOf(2), nodeOf(3)], conductorNodes: ['n1'] }, before, LATER);
  assert.equal([gone.endpoints, gone.conductors], [['10.0.0.1:49180'], { wanted: 1, ready: 0, nodes: ['n1'] }]);
  const asked = reportCluster({ ...view, spec: specOf({ image: 'localhost/pureflash:1.3.0' }) }, before, LATER);
  assert.equal([asked.version, asked.phase], ['localhost/pureflash:1.2.0', 'Upgrading'], 'the version is what all of it runs');
});

test('a condition that nobody plans any more is taken out', () => {
  const view = standing();
  const { conditions } = reportCluster({ ...view, isDeleting: true });
  assert.ok(conditions!.some((each) => each.type === 'Deletable'));
  const kept = reportCluster(view, { conditions: conditions! }, LATER);
  assert.not.ok(kept.conditions!.some((each) => each.type === 'Deletable'));
});

test.run();

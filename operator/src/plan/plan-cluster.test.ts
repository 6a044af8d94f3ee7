// What is decided about a cluster, case by case.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterPlan } from './cluster-plan.ts';
import { planCluster } from './plan-cluster.ts';
import { carriedOut, controlOf, nodeOf, plainHash, specOf, viewOf } from './testing/views.ts';
import type { ClusterView } from './view.ts';

const plan = (view: ClusterView): ClusterPlan => planCluster(view, plainHash);
const condition = (made: ClusterPlan, type: string) => made.conditions.find((each) => each.type === type)!;
const changing = (made: ClusterPlan): string[] => made.stores.filter((each) => each.mayChange).map((each) => each.instance.node);

/** A cluster that stands. */
function standing(patch: Partial<ClusterView> = {}): ClusterView {
  const fresh = viewOf(patch);
  return carriedOut(fresh, plan(fresh));
}

/** The same with another image, whose stores are not restarted yet but whose conductor is. */
function upgrading(patch: Partial<ClusterView> = {}): ClusterView {
  const before = standing();
  const asked = { ...before, spec: specOf({ image: 'localhost/pureflash:1.3.0' }) };
  const { conductors } = carriedOut(asked, plan(asked));
  return { ...asked, conductors, ...patch };
}

test('a new cluster: a conductor on one node, a store on each', () => {
  const made = plan(viewOf());
  assert.is(made.action, 'run');
  assert.equal(
    made.conductors.map(({ instance }) => [instance.ordinal, instance.node, instance.dataPath]),
    [[0, 'n1', '/var/lib/pureflash/storage/demo/conductor-0']],
  );
  assert.equal(made.endpoints, ['10.0.0.1:49180']);
  assert.equal(
    made.stores.map(({ instance }) => [instance.node, instance.disks[0]!.sizeBytes, instance.conductors[0]]),
    [
      ['n1', 8 * 2 ** 30, '10.0.0.1:49180'],
      ['n2', 8 * 2 ** 30, '10.0.0.1:49180'],
      ['n3', 8 * 2 ** 30, '10.0.0.1:49180'],
    ],
  );
  assert.is(made.phase, 'Pending');
  assert.equal([condition(made, 'Ready').status, condition(made, 'Ready').reason], ['False', 'Starting']);
});

test('a cluster that stands is Ready, and the next plan changes nothing', () => {
  const view = standing();
  const made = plan(view);
  assert.is(made.phase, 'Ready');
  assert.is(condition(made, 'Ready').status, 'True');
  assert.equal(made.counts, { conductorsReady: 1, storesReady: 3, storesWanted: 3, storesUpgraded: 3 });
  assert.equal(
    made.stores.map((each) => each.revision),
    [...view.stores.values()].map((each) => each.revision),
  );
  assert.equal(made.budgets, [{ domain: null, maxUnavailable: 1 }]);
});

test('a conductor stays with its state, whatever node would be chosen today', () => {
  const view = standing({ conductorNodes: ['n3'] });
  assert.equal(plan(view).conductors[0]!.instance.node, 'n3');
  const gone = plan({ ...view, nodes: [nodeOf(1), nodeOf(2)] });
  assert.equal(gone.conductors, []);
  assert.match(condition(gone, 'ConductorsReady').message, 'node n3, where conductor 0 has its state, is gone');
});

test('a node that is not ready or cordoned gets no new store, and keeps the one it has', () => {
  const fresh = plan(viewOf({ nodes: [nodeOf(1), nodeOf(2, { isReady: false }), nodeOf(3, { isSchedulable: false })] }));
  assert.equal(
    fresh.stores.map(({ instance }) => instance.node),
    ['n1'],
  );
  assert.is(condition(fresh, 'StoresReady').message, 'n2: the node is not ready; n3: the node is cordoned');
  const later = standing();
  const kept = plan({ ...later, nodes: [nodeOf(1), nodeOf(2, { isReady: false }), nodeOf(3, { isSchedulable: false })] });
  assert.equal(
    kept.stores.map(({ instance }) => instance.node),
    ['n1', 'n2', 'n3'],
  );
});

test('a node that does not match any more keeps its store, and that is said', () => {
  const spec = specOf({ stores: { ...specOf().stores, nodeSelector: { rack: 'r1' } } as never });
  const made = plan({ ...standing(), spec });
  assert.equal(
    made.stores.map(({ instance }) => instance.node),
    ['n1', 'n2', 'n3'],
  );
  assert.is(condition(made, 'StoresReady').reason, 'ScaleInNotAvailable');
  assert.match(condition(made, 'StoresReady').message, 'the stores on n2, n3 stay');
});

test('devices are looked at before they are chosen, and foreign ones are not taken', () => {
  const stores = { devices: { paths: ['/dev/sda'] } };
  const spec = specOf({ stores });
  const blind = plan(viewOf({ spec, nodes: [nodeOf(1)] }));
  assert.equal(
    blind.discover.map((each) => each.node),
    ['n1'],
  );
  assert.equal(blind.stores, []);
  const { selection } = blind.discover[0]!;
  const device = { path: '/dev/sda', name: 'sda', sizeBytes: 2 ** 40, candidate: 'any', isInUse: false } as const;
  const seen = (use: 'blank' | 'foreign') =>
    plan(
      viewOf({
        spec,
        nodes: [nodeOf(1)],
        discovery: new Map([['n1', { selection, devices: [{ ...device, use, usedBy: 'ext4' }] }]]),
      }),
    );
  assert.equal(seen('blank').stores[0]!.instance.disks, [{ path: '/dev/sda', sizeBytes: null }]);
  assert.equal(seen('blank').discover, []);
  assert.equal(seen('foreign').stores, []);
  assert.match(condition(seen('foreign'), 'StoresReady').message, /n1: no disk: .*ext4/);
});

test('an upgrade restarts the stores of one failure domain after the other', () => {
  let view = upgrading();
  const order: string[] = [];
  for (let round = 0; round < 10; round += 1) {
    const made = plan(view);
    const next = made.stores.filter((each) => each.mayChange && view.stores.get(each.instance.node)!.revision !== each.revision);
    if (next.length === 0) break;
    assert.is(next.length, 1);
    assert.is(made.phase, 'Upgrading');
    order.push(next[0]!.instance.node);
    view = carriedOut(view, made);
  }
  assert.equal(order, ['n1', 'n2', 'n3']);
  assert.is(plan(view).phase, 'Ready');
});

test('stores wait for the conductors', () => {
  const view = { ...standing(), spec: specOf({ image: 'localhost/pureflash:1.3.0' }) };
  const made = plan(view);
  assert.equal(changing(made), []);
  assert.is(condition(made, 'UpToDate').reason, 'ConductorsFirst');
  assert.is(made.conductors[0]!.mayChange, true);
});

test('an upgrade pauses, with a reason, while a volume misses a replica or a store is away', () => {
  const degraded = plan(upgrading({ control: controlOf([1, 2, 3], { degraded: ['v1'], degradedCount: 1 }) }));
  assert.equal(changing(degraded), []);
  assert.is(condition(degraded, 'UpToDate').reason, 'NotRedundant');
  assert.match(condition(degraded, 'UpToDate').message, '1 volumes miss a replica (v1)');
  const silent = plan(upgrading({ control: null }));
  assert.is(condition(silent, 'UpToDate').reason, 'NoConductor');
  const view = upgrading();
  const down = new Map(view.stores).set('n2', { ...view.stores.get('n2')!, isReady: false });
  const control = controlOf([1, 2, 3], { degraded: ['v1'], degradedCount: 1 });
  const heard = plan({ ...view, stores: down, control });
  assert.equal(changing(heard), [], 'a pod that is not ready may hold the only replicas in sync');
  assert.is(condition(heard, 'UpToDate').reason, 'NotRedundant');
  assert.equal(changing(plan({ ...view, stores: down })), ['n2'], 'and goes first when nothing is missing');
  const isOnline = (id: number): boolean => id !== 2;
  const silentOnes = control.stores.map((store) => ({ ...store, isOnline: isOnline(store.id) }));
  const first = plan({ ...view, stores: down, control: { ...control, stores: silentOnes } });
  assert.equal(changing(first), ['n2'], 'the one that is down anyway goes first');
  const deaf = control.stores.map((store) => ({ ...store, isOnline: isOnline(store.id) }));
  const ready = plan({ ...view, control: { ...control, stores: deaf } });
  assert.equal(changing(ready), ['n2'], 'a pod that is ready and not heard may need the restart');
  down.set('n3', { ...view.stores.get('n3')!, isReady: false });
  const second = plan({ ...view, stores: down });
  assert.equal(changing(second), []);
  assert.is(condition(second, 'UpToDate').reason, 'StoresMissing');
});

test('of two stores at one address the one that is heard counts, else the later one', () => {
  const control = controlOf([1, 2, 3]);
  const again = { ...control.stores[0]!, id: 4, uuid: 's4' };
  const silent = (...ids: number[]) =>
    plan({
      ...standing(),
      control: {
        ...control,
        stores: [...control.stores, again].map((store) => ({ ...store, isOnline: !ids.includes(store.id) })),
      },
    }).counts.storesReady;
  assert.equal([silent(1), silent(4), silent(1, 4)], [3, 3, 2]);
});

test('a store that never started may be put right at any time, and holds nobody up', () => {
  const view = upgrading({ control: controlOf([1]) });
  const stores = new Map([...view.stores].map(([node, each]) => [node, { ...each, isReady: node === 'n1' }]));
  const made = plan({ ...view, stores });
  assert.equal(changing(made), ['n1', 'n2', 'n3']);
  const known = plan({ ...view, stores, storeUuids: new Map([['n2', 's2']]) });
  assert.equal(changing(known), ['n2', 'n3'], 'one that has been heard of is waited for, and goes first');
});

test('maintenance keeps everything as it is until it ends', () => {
  const maintenance = { until: '2026-01-01T00:00:00Z' };
  const asked = upgrading({ maintenanceEndMs: 1_005_000 });
  const view = { ...asked, spec: { ...asked.spec, maintenance } };
  const made = plan(view);
  assert.equal(changing(made), []);
  assert.is(made.phase, 'Maintenance');
  assert.is(made.lookAgainMs, 5_000);
  assert.equal(changing(plan({ ...view, nowMs: 1_005_000 })), ['n1']);
});

test('an older image is refused, and nothing is touched', () => {
  const made = plan({ ...standing(), spec: specOf({ image: 'localhost/pureflash:1.1.9' }) });
  assert.is(made.action, 'keep');
  assert.is(made.phase, 'Refused');
  assert.equal([condition(made, 'Accepted').reason, condition(made, 'Ready').status], ['DowngradeRefused', 'False']);
  assert.is(plan({ ...standing(), spec: specOf({ image: 'localhost/pureflash:1.2.9' }) }).action, 'run');
});

test('an image older than any store is refused although the conductor is as old: the newest has written disks', () => {
  const view = standing();
  const runs = (conductor: string, stores: readonly string[]): ClusterView => {
    const control = controlOf([1, 2, 3], { version: conductor });
    const versioned = control.stores.map((store, index) => ({ ...store, version: stores[index]! }));
    return { ...view, control: { ...control, stores: versioned } };
  };
  const asking = (conductor: string, stores: readonly string[], version: string): ClusterPlan =>
    plan({ ...runs(conductor, stores), spec: specOf({ image: `localhost/pureflash:${version}` }) });
  for (const conductor of ['1.2.0', '1.1.0']) {
    const made = asking(conductor, ['1.2.0', '1.2.0', '1.3.1'], '1.2.0');
    assert.equal([made.action, made.phase, condition(made, 'Accepted').reason], ['keep', 'Refused', 'DowngradeRefused']);
    assert.is(
      condition(made, 'Accepted').message,
      'image localhost/pureflash:1.2.0 is older than 1.3.1, which has written the disks; take an image of at least 1.3.1',
    );
  }
  assert.is(asking('1.2.0', ['1.2.0', '1.2.0', '1.3.1'], '1.3.0').action, 'run', 'a patch keeps the formats');
  assert.is(asking('1.2.0', ['1.2.0', '1.1.0', '1.2.0'], '1.2.0').action, 'run', 'stores that are older come along');
});

test('what this version does not have is refused by name', () => {
  const made = plan(viewOf({ spec: specOf({ conductors: { count: 3 } } as never) }));
  assert.is(made.action, 'keep');
  assert.match(condition(made, 'Accepted').message, 'conductors.count: 3 is not available in this version');
});

test('networks reach the stores, one failure domain after the other; a cluster without them is the same as ever', () => {
  const networks = { client: '10.1.0.0/16', replication: '10.2.0.0/16' };
  const before = standing();
  assert.not('clientNetwork' in plan(before).stores[0]!.instance);
  const made = plan({ ...before, spec: specOf({ networks }) });
  assert.equal(changing(made), ['n1']);
  const { clientNetwork, replicationNetwork } = made.stores[2]!.instance;
  assert.equal({ client: clientNetwork, replication: replicationNetwork }, networks);
});

test('a store that serves clients in another network is told by its management address', () => {
  const view = standing();
  const control = controlOf([1, 2, 3]);
  const stores = control.stores.map((store) => ({ ...store, dataAddress: `10.1.0.${store.id}:49162` }));
  const made = plan({ ...view, control: { ...control, stores } });
  assert.is(made.counts.storesReady, 3);
});

test('a cluster with volumes is deleted only with the phrase', () => {
  const deleting = { ...standing(), isDeleting: true };
  const refused = plan(deleting);
  assert.is(refused.action, 'keep');
  assert.is(condition(refused, 'Deletable').reason, 'VolumesExist');
  const confirmed = { ...deleting, spec: specOf({ deletion: { confirmation: 'yes-destroy-all-volumes' } }) };
  assert.is(plan(confirmed).action, 'remove');
  assert.is(plan({ ...deleting, control: controlOf([1, 2, 3], { volumeCount: 0 }) }).action, 'remove');
  const silent = plan({ ...deleting, control: null });
  assert.equal([silent.action, condition(silent, 'Deletable').reason], ['keep', 'VolumesUnknown']);
  assert.is(
    plan({ ...deleting, control: null, isRemoving: true }).action,
    'remove',
    'what was allowed goes on without conductors',
  );
  assert.is(plan({ ...viewOf(), isDeleting: true }).action, 'remove', 'one that never was goes at once');
});

test('a drain takes stores of one failure domain at a time', () => {
  const view = standing();
  const away = new Map(view.stores).set('n2', { ...view.stores.get('n2')!, isReady: false });
  const made = plan({ ...view, stores: away, control: controlOf([1, 2, 3], { degraded: ['v1'], degradedCount: 1 }) });
  assert.equal(made.budgets, [
    { domain: 'n1', maxUnavailable: 0 },
    { domain: 'n3', maxUnavailable: 0 },
  ]);
  const repairing = plan({ ...view, control: controlOf([1, 2, 3], { degraded: ['v1'], degradedCount: 1 }) });
  assert.equal(
    repairing.budgets.map((each) => each.domain),
    ['n1', 'n2', 'n3'],
    'nobody while data misses a replica',
  );
});

test('failure domains are the values of the label; a node without it gets no store', () => {
  const racks = [nodeOf(1), nodeOf(2, { labels: { rack: 'r1' } }), nodeOf(3, { labels: {} })];
  const made = plan(viewOf({ spec: specOf({ placement: { failureDomain: 'rack' } }), nodes: racks }));
  assert.equal(
    made.stores.map(({ instance }) => instance.failureDomain),
    ['r1', 'r1'],
  );
  assert.match(condition(made, 'StoresReady').message, 'n3: the node has no label rack');
});

test('an override gives one node other disks, or none', () => {
  const overrides = [
    { node: 'n1', devices: { files: [{ path: '/srv/a.img', size: '1Gi' }] } },
    { node: 'n2', skip: true },
  ];
  const made = plan(viewOf({ spec: specOf({ stores: { ...specOf().stores, overrides } as never }) }));
  assert.equal(
    made.stores.map(({ instance }) => [instance.node, instance.disks[0]!.path]),
    [
      ['n1', '/srv/a.img'],
      ['n3', '/var/lib/pureflash/disk.img'],
    ],
  );
});

test.run();

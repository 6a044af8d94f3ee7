// The managed servers of the external engine: where they are, what is said of them, and what does not start without a conductor that can
// use them.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject } from '@pureflash/datapath/base';
import type { ClusterPlan, WantedServers } from './cluster-plan.ts';
import { planCluster } from './plan-cluster.ts';
import { carriedOut, nodeOf, plainHash, specOf, viewOf } from './testing/views.ts';
import type { ClusterView, ServersView } from './view.ts';

const plan = (view: ClusterView): ClusterPlan => planCluster(view, plainHash);
const condition = (made: ClusterPlan, type: string) => made.conditions.find((each) => each.type === type)!;
const said = (made: ClusterPlan, type: string): string[] => {
  const { status, reason, message } = condition(made, type);
  return [status, reason, message];
};
const groupOf = (made: ClusterPlan, kind: string): WantedServers => made.servers.find(({ group }) => group.kind === kind)!;
const placesOf = (made: ClusterPlan, kind: string) => groupOf(made, kind).group.members.map(({ place }) => place?.node ?? null);

const external = (zookeeper: JsonObject = {}, mariadb: JsonObject = {}, others: JsonObject = {}) =>
  specOf({ metadataEngine: 'external', zookeeper: { managed: zookeeper }, mariadb: { managed: mariadb }, ...others });

/** A cluster whose servers stand; some of them may not be ready. */
function standing(patch: Partial<ClusterView> = {}): ClusterView {
  const fresh = viewOf({ spec: external(), ...patch });
  return carriedOut(fresh, plan(fresh));
}

function without(servers: ServersView, ...ordinals: number[]): ServersView {
  const members = [...servers.members].map(
    ([ordinal, each]) => [ordinal, { ...each, isReady: !ordinals.includes(ordinal) }] as const,
  );
  return { ...servers, members: new Map(members) };
}

test('the external engine: servers are placed, and neither conductors nor stores are started', () => {
  const made = plan(viewOf({ spec: external() }));
  assert.is(made.action, 'run');
  assert.equal([made.conductors, made.stores, made.endpoints, made.discover], [[], [], [], []]);
  assert.equal(placesOf(made, 'zookeeper'), ['n1', 'n2', 'n3']);
  assert.equal(
    groupOf(made, 'mariadb').group.members.map(({ place }) => place),
    [{ node: 'n1', dataPath: '/var/lib/pureflash/storage/demo/mariadb-0' }],
  );
  assert.is(made.phase, 'Pending');
  assert.equal(said(made, 'ZooKeeperReady'), [
    'False',
    'Starting',
    '0 of 3 serve; waiting for zookeeper 0 on n1, zookeeper 1 on n2, zookeeper 2 on n3',
  ]);
  assert.is(condition(made, 'Ready').reason, 'Starting');
});

test('with servers that serve, what is missing is said: a conductor that can use them', () => {
  const made = plan(standing());
  assert.equal(said(made, 'ZooKeeperReady'), ['True', 'Serving', '3 of 3 serve']);
  assert.equal(said(made, 'MetadataStoreReady'), ['True', 'Serving', '1 of 1 serve']);
  for (const type of ['ConductorsReady', 'StoresReady', 'Ready']) {
    assert.equal(said(made, type).slice(0, 2), ['False', 'EngineNotAvailable'], type);
    assert.match(condition(made, type).message, 'make a cluster with metadataEngine: embedded, or wait for a version');
  }
  assert.is(condition(made, 'UpToDate').status, 'True');
});

test('a majority serves', () => {
  const view = standing();
  const two = plan({ ...view, zookeeper: without(view.zookeeper, 2) });
  assert.equal(said(two, 'ZooKeeperReady'), ['True', 'ServerMissing', '2 of 3 serve; waiting for zookeeper 2 on n3']);
  const one = plan({ ...view, zookeeper: without(view.zookeeper, 0, 2) });
  assert.equal(said(one, 'ZooKeeperReady').slice(0, 2), ['False', 'Starting']);
});

test('the embedded engine has no servers and says nothing of them', () => {
  const made = plan(viewOf());
  assert.equal(made.servers, []);
  assert.is(condition(made, 'ZooKeeperReady'), undefined);
  assert.is(condition(made, 'MetadataStoreReady'), undefined);
});

test("servers of the user's own are neither run nor judged", () => {
  const spec = specOf({
    metadataEngine: 'external',
    zookeeper: { endpoints: ['zk-1:2181', 'zk-2:2181'] },
    mariadb: { endpoints: ['db:3306'], credentialsSecret: 'login' },
  });
  const made = plan(viewOf({ spec }));
  assert.equal(made.servers, []);
  assert.equal(said(made, 'ZooKeeperReady'), [
    'Unknown',
    'NotManaged',
    'the servers at zk-1:2181, zk-2:2181 are yours: the operator neither runs nor asks them',
  ]);
  assert.is(condition(made, 'Ready').reason, 'EngineNotAvailable');
});

test('failure domains come before names, a node before none, and placed servers stay', () => {
  const racks = [1, 2, 3, 4].map((number) => nodeOf(number, { labels: { rack: number < 3 ? 'a' : `r${number}` } }));
  const spread = plan(viewOf({ spec: external({}, {}, { placement: { failureDomain: 'rack' } }), nodes: racks }));
  assert.equal(placesOf(spread, 'zookeeper'), ['n1', 'n3', 'n4']);
  const few = plan(viewOf({ spec: external(), nodes: [nodeOf(1), nodeOf(2)] }));
  assert.is(groupOf(few, 'zookeeper').mayChange, false);
  assert.equal(said(few, 'ZooKeeperReady'), [
    'False',
    'NoNode',
    '0 of 3 serve; no node is left for zookeeper 2: each of 3 wants one of its own that is ready, not cordoned and matches zookeeper.managed.nodeSelector',
  ]);
  const view = standing();
  const moved = plan({ ...view, zookeeper: { ...view.zookeeper, nodes: ['n3', 'n1', 'n2'] } });
  assert.equal(placesOf(moved, 'zookeeper'), ['n3', 'n1', 'n2']);
  const released = plan({
    ...view,
    nodes: [2, 3, 4].map((number) => nodeOf(number)),
    zookeeper: { ...view.zookeeper, nodes: [null, 'n2', 'n3'] },
  });
  assert.equal(placesOf(released, 'zookeeper'), ['n4', 'n2', 'n3'], 'one whose volume was taken away by hand is placed anew');
  const gone = plan({ ...view, nodes: [nodeOf(1), nodeOf(2)], zookeeper: without(view.zookeeper, 2) });
  assert.equal(said(gone, 'ZooKeeperReady'), [
    'True',
    'ServerMissing',
    '2 of 3 serve; node n3, where zookeeper 2 has its data, is gone',
  ]);
});

test('one ZooKeeper is enough for a laboratory, and selected nodes are', () => {
  const made = plan(viewOf({ spec: external({ replicas: 1, nodeSelector: { rack: 'r2' } }, { nodeSelector: { rack: 'r3' } }) }));
  assert.equal([placesOf(made, 'zookeeper'), placesOf(made, 'mariadb')], [['n2'], ['n3']]);
});

test('volumes of a storage class tie no server to a node', () => {
  const made = plan(
    viewOf({ spec: external({ storageClassName: 'fast' }, { replicas: 3, storageClassName: 'fast' }), nodes: [] }),
  );
  assert.equal(placesOf(made, 'zookeeper'), [null, null, null]);
  assert.is(groupOf(made, 'mariadb').mayChange, true);
});

test('a Galera cluster is founded once', () => {
  const fresh = viewOf({ spec: external({}, { replicas: 3 }) });
  assert.is(groupOf(plan(fresh), 'mariadb').mayFound, true);
  const view = standing({ spec: external({}, { replicas: 3 }) });
  const founding = { ...view.mariadb, wasFounded: false };
  assert.is(groupOf(plan({ ...view, mariadb: founding }), 'mariadb').mayFound, false, 'one of them serves');
  assert.is(groupOf(plan({ ...view, mariadb: without(founding, 0, 1, 2) }), 'mariadb').mayFound, true, 'none ever has');
  const dark = { ...without(view.mariadb, 0, 1, 2), wasFounded: true };
  assert.is(groupOf(plan({ ...view, mariadb: dark }), 'mariadb').mayFound, false, 'what was founded is found again');
});

test('another image is rolled out, and waits for the end of maintenance', () => {
  const view = { ...standing(), spec: external({ image: 'zookeeper:3.9.4' }) };
  const made = plan(view);
  assert.is(condition(made, 'UpToDate').message, 'zookeeper: servers are being started');
  assert.is(groupOf(made, 'zookeeper').mayChange, true);
  assert.is(groupOf(plan({ ...view, maintenanceEndMs: view.nowMs + 1 }), 'zookeeper').mayChange, false);
});

test('conductors are let in by the addresses of their nodes, and by networks that are named', () => {
  const clients = (security: JsonObject, nodes = [nodeOf(1), nodeOf(2), nodeOf(3)]) =>
    groupOf(plan(viewOf({ spec: external({}, {}, { security }), nodes })), 'zookeeper').clients;
  assert.equal(clients({}), ['10.0.0.1/32']);
  assert.equal(clients({ conductorNetworks: ['10.42.0.0/16'] }), ['10.0.0.1/32', '10.42.0.0/16']);
  assert.equal(clients({}, [nodeOf(1, { address: 'fd00::1' })]), ['fd00::1/128']);
  assert.is(clients({ networkPolicies: false }), null);
});

test('a cluster with the external engine goes at once: it never had a volume', () => {
  assert.is(plan({ ...standing(), isDeleting: true }).action, 'remove');
  assert.equal(plan({ ...standing(), isDeleting: true }).servers, []);
});

test.run();

// deadline: 240s
// needs: root native ip nsenter unshare fio nbdinfo
// Three hosts with a network for management, one for clients and one for replication: each kind of traffic stays in its own, the conductor
// is not in the way of data, and a host that loses one of them loses its replicas, and no other host does.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Daemon } from './daemon.ts';
import { runFio } from './fio.ts';
import type { ShardView, StoreRow } from './local-cluster.ts';
import { NetworkHosts, type NetworkHost } from './network-hosts.ts';
import { sayWhy } from './say-why.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);
const PROGRAMS = resolve(import.meta.dirname, '../../datapath/bin');
const MiB = 1024 * 1024;
const WRITTEN = 64 * MiB;
/** Heartbeats, configurations, and what networks say of themselves. */
const CHATTER = 4 * MiB;
const PATIENCE_MS = 30_000;
/** As for a store that dies, and what its silence takes. */
const STALL_MS_MAX = 4_000;
const PLAN = { manage: '10.90.0', client: '10.91.0', replicate: '10.92.0' };
const CONDUCTOR = `${PLAN.manage}.100:49180`;

const folder = mkdtempSync(join(tmpdir(), 'pureflash-networks-'));
const daemons: Daemon[] = [];
let networks: NetworkHosts;
let uri = '';

function start(host: NetworkHost, name: string, program: string, args: readonly string[]): Daemon {
  const daemon = new Daemon(name, folder, host.inside(join(PROGRAMS, program), ...args));
  daemons.push(daemon);
  daemon.start();
  return daemon;
}

function storeFlags(host: NetworkHost): string[] {
  return [
    ...['--disk', `${join(folder, `disk-${host.number}.img`)}=1G`, '--host', `host-${host.number}`],
    ...['--data', `${PLAN.manage}.${host.number}:49162`, '--http', `${PLAN.manage}.${host.number}:49181`],
    ...['--client-network', `${PLAN.client}.0/24`, '--replication-network', `${PLAN.replicate}.0/24`],
    ...['--conductor', CONDUCTOR],
  ];
}

async function pfcli<T>(...words: string[]): Promise<T> {
  const [program, ...args] = networks.hub.inside(join(PROGRAMS, 'pfcli'), ...words, '--json', '--conductor', CONDUCTOR);
  return JSON.parse((await run(program!, args)).stdout) as T;
}

async function replicaStates(): Promise<readonly string[]> {
  const { shards } = await pfcli<{ shards: readonly ShardView[] }>('open_volume', '-v', 'v1', '--read-only');
  return shards[0]!.replicas.map((replica) => replica.status);
}

async function untilReplicas(what: string, isWanted: (states: readonly string[]) => boolean): Promise<void> {
  await waitFor(what, PATIENCE_MS, async () => (isWanted(await replicaStates()) ? true : null));
}

test.before(
  sayWhy(async () => {
    networks = await NetworkHosts.open(3, PLAN, ['manage', 'client']);
    start(networks.hub, 'conductor', 'pfconductor', ['--data', join(folder, 'conductor'), '--listen', CONDUCTOR]);
    for (const host of networks.hosts) start(host, `store-${host.number}`, 'pfstore', storeFlags(host));
    await waitFor('three stores', PATIENCE_MS, async () => {
      const stores = await pfcli<readonly StoreRow[]>('list_store').catch(() => []);
      return stores.filter((store) => store.status === 'OK').length === 3 ? true : null;
    });
    await pfcli('create_volume', '-v', 'v1', '-s', '256M', '--rep', '3');
    const socket = join(folder, 'v1.sock');
    start(networks.hub, 'front', 'nbd-serve', ['volume:v1', '--unix', socket, '--conductor', CONDUCTOR]);
    uri = `nbd+unix:///?socket=${socket}`;
    await waitFor('the front', PATIENCE_MS, () => run('nbdinfo', ['--size', uri]).then(() => true));
  }),
);

test.after(async () => {
  for (const daemon of daemons.reverse()) if (daemon.isRunning) await daemon.stop();
  networks?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('clients are told the address in their network, and lists show both', async () => {
  const stores = await pfcli<readonly (StoreRow & { replication_address: string })[]>('list_store');
  const addresses = stores.map((store) => [store.data_address, store.replication_address]).sort();
  assert.equal(
    addresses,
    [1, 2, 3].map((number) => [`${PLAN.client}.${number}:49162`, `${PLAN.replicate}.${number}:49162`]),
  );
});

test('what a client writes goes through its network once, through the stores’ network twice, and not through the third', async () => {
  const before = networks.hosts.map(
    (host) => [host.traffic('manage'), host.traffic('client'), host.traffic('replicate')] as const,
  );
  const fio = await runFio({ uri, pattern: 'write', blockSize: '128k', size: `${WRITTEN / MiB}m`, isVerified: false });
  assert.is(fio.exitCode, 0, fio.output);
  const sums = [0, 1, 2].map((network) =>
    networks.hosts.reduce((sum, host, index) => {
      const now = [host.traffic('manage'), host.traffic('client'), host.traffic('replicate')][network]!;
      return sum + now.received - before[index]![network]!.received;
    }, 0),
  );
  const [manage, client, replicate] = sums as [number, number, number];
  console.log(
    `  ${WRITTEN / MiB} MiB written; into the hosts: management ${(manage / MiB).toFixed(1)}, client ${(client / MiB).toFixed(1)}, replication ${(replicate / MiB).toFixed(1)} MiB`,
  );
  assert.ok(client > WRITTEN && client < 1.2 * WRITTEN, `${client} bytes by the clients' network`);
  assert.ok(replicate > 2 * WRITTEN && replicate < 2.4 * WRITTEN, `${replicate} bytes by the stores' network`);
  assert.ok(manage < CHATTER, `${manage} bytes by the management network`);
});

for (const [network, role] of [
  ['replicate', 'secondary'],
  ['replicate', 'primary'],
  ['client', 'primary'],
] as const) {
  test(`a ${role} whose host loses its network "${network}" is taken out, and nobody else; writers notice a pause`, async () => {
    const { shards } = await pfcli<{ shards: readonly ShardView[] }>('open_volume', '-v', 'v1', '--read-only');
    const [shard] = shards;
    const harmed = shard!.replicas.find((each) => (each.index === shard!.primary_rep_index) === (role === 'primary'))!;
    const host = networks.hosts.find(({ number }) => harmed.address.startsWith(`${PLAN.client}.${number}:`))!;
    await untilReplicas('all in sync', (states) => states.every((state) => state === 'IN_SYNC'));
    const load = runFio({ uri, pattern: 'randwrite', depth: 8, seconds: 10, size: '64m', isVerified: true });
    host.ip('link', 'set', network, 'down');
    await untilReplicas('the replica to be given up, alone', (states) =>
      states.every((state, index) => (state === 'IN_SYNC') === (index !== harmed.index)),
    );
    host.ip('link', 'set', network, 'up');
    const result = await load;
    console.log(`  ${result.ios} requests, ${result.errors} errors, the longest took ${result.longestMs.toFixed(0)} ms`);
    assert.is(result.exitCode, 0, result.output);
    assert.is(result.errors, 0);
    assert.ok(result.longestMs < STALL_MS_MAX, `${result.longestMs} ms`);
    await untilReplicas('all in sync again', (states) => states.every((state) => state === 'IN_SYNC'));
    assert.ok((await pfcli<{ is_equal: boolean }>('compare_replicas', '-v', 'v1')).is_equal);
  });
}

test('a store whose machine has no such network says so and ends', async () => {
  const host = networks.hosts[0]!;
  const flags = [
    ...['--disk', `${join(folder, 'other.img')}=1G`, '--host', 'x', '--conductor', CONDUCTOR],
    ...['--data', '127.0.0.1:0', '--http', '127.0.0.1:0', '--replication-network', '10.93.0.0/24'],
  ];
  const stray = start(host, 'stray', 'pfstore', flags);
  assert.is(await stray.exited, 'exit 66');
  assert.match(
    stray.logTail(),
    /this machine has no address in network 10\.93\.0\.0\/24, only .*10\.90\.0\.1.*: bring its interface up/,
  );
});

test.run();

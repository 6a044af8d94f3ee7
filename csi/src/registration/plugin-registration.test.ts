// The test plays kubelet: it asks the registry's socket who is there, and says what became of it.
import { existsSync, mkdtempSync, renameSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '@pureflash/datapath/base';
import { openNodeWorld, type Logger, type World } from '@pureflash/datapath/world';
import { openSocketFiles } from '../host/socket-files.ts';
import { Registration } from '../messages/registration-service.ts';
import { connectGrpc } from '../rpc/grpc-client.ts';
import { serveGrpc, type RpcPorts } from '../rpc/grpc-server.ts';
import { PluginRegistration } from './plugin-registration.ts';

const ENDPOINT = '/var/lib/kubelet/plugins/csi.pureflash.io/csi.sock';

const folder = mkdtempSync(join(tmpdir(), 'registration-'));
const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet, setLevel() {} };
const world: World = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 * 1024, log: quiet });
const ports: RpcPorts = { clock: world.clock, log: quiet, sockets: openSocketFiles() };
const failures: PfError[] = [];

test.before.each(() => void (failures.length = 0));
test.after(async () => {
  await world.close();
  rmSync(folder, { recursive: true });
});

test('kubelet finds the driver, its socket and its versions, and its word is heard', async () => {
  await using registration = await open('first');
  assert.ok(registration.socketPath.endsWith('/csi.pureflash.io-reg.sock'));
  assert.is((statSync(registration.socketPath).mode & 0o777).toString(8), '600');
  using connection = connectGrpc(world.clock, registration.socketPath);
  const kubelet = connection.client(Registration);
  assert.equal(await kubelet.getInfo({}), {
    type: 'CSIPlugin',
    name: 'csi.pureflash.io',
    endpoint: ENDPOINT,
    supportedVersions: ['1.0.0'],
  });
  assert.is(registration.isRegistered, false);
  assert.equal(await kubelet.notifyRegistrationStatus({ pluginRegistered: true }), {});
  assert.is(registration.isRegistered, true);
  assert.equal(failures, []);
});

test('a refusal is a failure that says what kubelet said, once', async () => {
  await using registration = await open('refused');
  using connection = connectGrpc(world.clock, registration.socketPath);
  const kubelet = connection.client(Registration);
  for (let i = 0; i < 2; i++) await kubelet.notifyRegistrationStatus({ pluginRegistered: false, error: 'node id differs' });
  assert.equal(
    failures.map(({ code, message }) => [code, message]),
    [['INVALID_STATE', `kubelet refuses the driver csi.pureflash.io at ${ENDPOINT}: node id differs`]],
  );
});

test('a socket that was removed is made again, and kubelet can register the driver once more', async () => {
  await using registration = await open('removed');
  await register(registration);
  for (let round = 0; round < 3; round++) {
    unlinkSync(registration.socketPath);
    await until(() => existsSync(registration.socketPath) && !registration.isRegistered);
    await register(registration);
    assert.is(registration.isRegistered, true);
  }
  assert.equal(failures, []);
});

test('a socket that another process serves is left alone, and is a failure', async () => {
  await using registration = await open('taken');
  const { socketPath } = registration;
  const elsewhere = join(folder, 'other.sock');
  await using _other = await serveGrpc(ports, { socketPath: elsewhere, services: [] });
  renameSync(elsewhere, socketPath);
  await until(() => failures.length > 0);
  assert.is(failures[0]?.message, 'another process registers this driver');
  assert.ok(existsSync(socketPath));
});

test('two drivers of one name do not start', async () => {
  await using _registration = await open('twice');
  await open('twice').then(
    () => assert.unreachable(),
    (error: PfError) => assert.is(error.code, 'ALREADY_EXISTS'),
  );
});

test('the socket goes with the driver', async () => {
  const registration = await open('closed');
  await registration.close();
  await registration.close();
  assert.is(existsSync(registration.socketPath), false);
});

function open(name: string): Promise<PluginRegistration> {
  return PluginRegistration.open(ports, {
    driverName: 'csi.pureflash.io',
    endpoint: ENDPOINT,
    registryFolder: join(folder, name),
    onFailure: (error) => void failures.push(error),
    lookEveryMs: 10,
  });
}

async function register(registration: PluginRegistration): Promise<void> {
  using connection = connectGrpc(world.clock, registration.socketPath);
  await connection.client(Registration).getInfo({});
  await connection.client(Registration).notifyRegistrationStatus({ pluginRegistered: true });
}

async function until(holds: () => boolean): Promise<void> {
  const deadlineMs = world.clock.now() + 5_000;
  while (!holds()) {
    if (world.clock.now() > deadlineMs) throw new Error('what was waited for did not come within 5 s');
    await world.clock.sleep(5);
  }
}

test.run();

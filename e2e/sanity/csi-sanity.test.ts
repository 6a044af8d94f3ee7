// The runner of csi-sanity, shown on drivers of a few lines: what passes, what fails and what is skipped is reported as such. It is also the
// first client of our gRPC server that we did not write.
// needs: csi-sanity
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNodeWorld, type Logger, type World } from '@pureflash/datapath/world';
import { openSocketFiles } from '../../csi/src/host/socket-files.ts';
import { identityHandlers } from '../../csi/src/identity.ts';
import { SEGMENTS } from '../../csi/src/volumes/topology.ts';
import { Controller, type ListedVolume } from '../../csi/src/messages/controller-service.ts';
import type { Draft } from '../../csi/src/messages/description.ts';
import { Identity } from '../../csi/src/messages/identity-service.ts';
import { Node } from '../../csi/src/messages/node-service.ts';
import { implement, serveGrpc, type GrpcServer, type Handlers } from '../../csi/src/rpc/grpc-server.ts';
import { RpcError } from '../../csi/src/rpc/status.ts';
import { failuresOf, readReport, runCsiSanity, type SanityReport } from './run-csi-sanity.ts';

const folder = mkdtempSync(join(tmpdir(), 'sanity-'));
const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet, setLevel() {} };
const world: World = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 * 1024, log: quiet });
const socketPath = join(folder, 'csi.sock');

test.after(async () => {
  await world.close();
  rmSync(folder, { recursive: true });
});

test('a driver that keeps the protocol passes, and what it does not advertise is skipped with the reason', async () => {
  await using _driver = await serve(toyController());
  const report = await sanity('good', { focus: ['Identity Service', 'CreateVolume', 'NodeGetInfo', 'ExpandVolume'] });
  assert.equal(failuresOf(report), []);
  assert.ok(report.passed >= 10, `${report.passed} passed`);
  assert.is(stateOf(report, 'GetPluginInfo should return appropriate information'), 'passed');
  assert.is(stateOf(report, 'CreateVolume should return appropriate values SingleNodeWriter NoCapacity'), 'passed');
  const expand = report.specs.filter((spec) => spec.name.includes('ExpandVolume [Controller Server]'));
  assert.ok(expand.length > 0);
  assert.ok(expand.every((spec) => spec.state === 'skipped' && spec.complaint.includes('not supported')));
});

test('a driver that breaks the protocol fails, and the report says what and why', async () => {
  const forgetful: Handlers<typeof Controller> = {
    ...toyController(),
    createVolume: async ({ name, capacityRange }) => ({
      volume: { volumeId: name, capacityBytes: capacityRange?.requiredBytes ?? 0 },
    }),
  };
  await using _driver = await serve(forgetful);
  const report = await sanity('bad', { focus: ['already existing name and different capacity'] });
  assert.equal([report.passed, report.failed], [0, 1]);
  const [failure] = failuresOf(report);
  assert.match(failure ?? '', /^Controller Service .* CreateVolume should fail when requesting .*different capacity: .*rror/s);
});

test('specs that are not asked for are skipped without a reason', async () => {
  await using _driver = await serve(toyController());
  const report = await sanity('focused', { focus: ['Identity Service'], skip: ['Probe'] });
  assert.equal([report.passed > 0, report.failed], [true, 0]);
  const probe = report.specs.find((spec) => spec.name.includes('Probe'));
  assert.equal([probe?.state, probe?.complaint], ['skipped', '']);
});

test('no driver is no report of failures, but an error that says what csi-sanity said', async () => {
  await sanity('nobody', { focus: ['Identity Service'], timeoutMs: 3_000 }).then(
    (report) => assert.ok(report.failed > 0),
    (error: Error) => assert.match(error.message, /^csi-sanity ended with/),
  );
});

test('a panic, a failed clean-up and a spec in time-out count as failures, a passed set-up as nothing', () => {
  const spec = (LeafNodeType: string, State: string) => ({
    ContainerHierarchyTexts: ['A'],
    LeafNodeText: 'b',
    LeafNodeType,
    State,
    RunTime: 2_000_000,
    Failure: { Message: 'why' },
  });
  const text = JSON.stringify([
    {
      SpecReports: [spec('It', 'panicked'), spec('It', 'timedout'), spec('AfterSuite', 'failed'), spec('BeforeSuite', 'passed')],
    },
    { SpecReports: null },
  ]);
  assert.equal(
    readReport(text),
    Array.from({ length: 3 }, () => ({ name: 'A b', state: 'failed', complaint: 'why', ms: 2 })),
  );
});

function sanity(name: string, options: { focus: string[]; skip?: string[]; timeoutMs?: number }): Promise<SanityReport> {
  return runCsiSanity({
    endpoint: socketPath,
    folder: join(folder, name),
    accessType: 'mount',
    parameters: { replicas: '2' },
    ...options,
  });
}

function stateOf(report: SanityReport, ending: string): string | undefined {
  return report.specs.find((spec) => spec.name.endsWith(ending))?.state;
}

function serve(controller: Handlers<typeof Controller>): Promise<GrpcServer> {
  const node: Handlers<typeof Node> = {
    nodeGetCapabilities: async () => ({}),
    nodeGetInfo: async () => ({ nodeId: 'n1', accessibleTopology: { segments: SEGMENTS } }),
    nodeUnpublishVolume: async () => ({}),
  };
  const services = [
    implement(Identity, identityHandlers({ version: '1', isReady: async () => true })),
    implement(Controller, controller),
    implement(Node, node),
  ];
  return serveGrpc({ clock: world.clock, log: quiet, sockets: openSocketFiles() }, { socketPath, services });
}

/** Volumes that are nothing but their names and sizes. */
function toyController(): Handlers<typeof Controller> {
  const volumes = new Map<string, number>();
  const need = (is: boolean, what: string): void => {
    if (!is) throw new RpcError('INVALID_ARGUMENT', `${what} is missing`);
  };
  return {
    controllerGetCapabilities: async () => ({
      capabilities: [{ rpc: { type: 'CREATE_DELETE_VOLUME' } }, { rpc: { type: 'LIST_VOLUMES' } }],
    }),
    createVolume: async ({ name, capacityRange, volumeCapabilities, parameters }) => {
      need(name !== '', 'name');
      need(volumeCapabilities.length > 0, 'volume_capabilities');
      need(parameters['replicas'] === '2', 'the parameter replicas');
      const wanted = capacityRange?.requiredBytes ?? 0;
      const size = volumes.get(name) ?? wanted;
      if (size !== wanted) throw new RpcError('ALREADY_EXISTS', `volume "${name}" has ${size} bytes`);
      volumes.set(name, size);
      return { volume: { volumeId: name, capacityBytes: size } };
    },
    deleteVolume: async ({ volumeId }) => {
      need(volumeId !== '', 'volume_id');
      volumes.delete(volumeId);
      return {};
    },
    listVolumes: async () => ({
      entries: [...volumes].map(([volumeId, capacityBytes]): Draft<ListedVolume> => ({ volume: { volumeId, capacityBytes } })),
    }),
  };
}

test.run();

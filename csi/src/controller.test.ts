// The controller over a cluster in memory: what each call changes, death at every step of every call, and calls that meet.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { controllerHandlers } from './controller.ts';
import { decodeMessage, encodeMessage } from './messages/codec.ts';
import { Controller } from './messages/controller-service.ts';
import type { Draft, MessageType } from './messages/description.ts';
import type { Call, Handlers } from './rpc/grpc-server.ts';
import { refusalOf } from './rpc/status.ts';
import { Killed, MemoryVolumes } from './volumes/testing/memory-volumes.ts';

const MiB = 1024 ** 2;
const CAPABILITY = { mount: { fsType: 'ext4' }, accessMode: { mode: 'SINGLE_NODE_WRITER' } } as const;
const CALL: Call = { signal: new AbortController().signal, deadlineMs: Infinity };

type Methods = Required<Handlers<typeof Controller>>;

/** A driver process: its locks are its own. */
class Driver {
  readonly volumes: MemoryVolumes;
  readonly #handlers: Methods;

  constructor(volumes: MemoryVolumes) {
    this.volumes = volumes;
    const defaults = { clusterName: 'demo', replicaCount: 3 };
    this.#handlers = controllerHandlers({ volumes, defaults, sha256: () => 'ab'.repeat(32) }) as Methods;
  }

  create(request: object = {}): Promise<unknown> {
    return this.#ask('createVolume', {
      name: 'v1',
      volumeCapabilities: [CAPABILITY],
      capacityRange: { requiredBytes: 64 * MiB },
      ...request,
    });
  }

  delete(): Promise<unknown> {
    return this.#ask('deleteVolume', { volumeId: 'v1' });
  }

  async publish(nodeId = 'node-1', request: object = {}): Promise<Readonly<Record<string, string>>> {
    const wanted = { volumeId: 'v1', nodeId, volumeCapability: CAPABILITY, ...request };
    const { publishContext } = (await this.#ask('controllerPublishVolume', wanted)) as { publishContext: Record<string, string> };
    return publishContext;
  }

  unpublish(nodeId = 'node-1'): Promise<unknown> {
    return this.#ask('controllerUnpublishVolume', { volumeId: 'v1', nodeId });
  }

  expand(requiredBytes: number): Promise<unknown> {
    return this.#ask('controllerExpandVolume', { volumeId: 'v1', capacityRange: { requiredBytes } });
  }

  capacity(replicas: string, request: object = {}): Promise<unknown> {
    return this.#ask('getCapacity', { parameters: { replicas }, ...request });
  }

  /** As it goes over the wire: whole in, whole out. */
  async #ask(method: keyof Methods, request: object): Promise<unknown> {
    const { request: wanted, response } = Controller.methods[method];
    const whole = decodeMessage(
      wanted as MessageType<object>,
      encodeMessage(wanted as MessageType<object>, request as Draft<object>),
    );
    const answer = await this.#handlers[method](whole as never, CALL);
    return decodeMessage(
      response as MessageType<object>,
      encodeMessage(response as MessageType<object>, answer as Draft<object>),
    );
  }
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${refusalOf(error).status}: ${refusalOf(error).message}`;
  }
  return 'OK';
}

/** One line for what the cluster holds. */
function held({ volumes }: MemoryVolumes): string {
  const rows = [...volumes.values()].map(({ name, sizeBytes, attachments }) => {
    const users = attachments.map((each) => `${each.node} ${each.isReadOnly ? 'reads' : 'writes'}`).join(', ');
    return `${name} ${sizeBytes / MiB} MiB${users === '' ? '' : `: ${users}`}`;
  });
  return rows.join('; ') || 'nothing';
}

interface Scenario {
  readonly title: string;
  readonly before: (driver: Driver) => Promise<unknown>;
  readonly call: (driver: Driver) => Promise<unknown>;
  readonly after: string;
  readonly steps: number;
}

const nothing = async (): Promise<void> => {};
const created = async (driver: Driver): Promise<void> => void (await driver.create());
const published = async (driver: Driver): Promise<void> => {
  await driver.create();
  await driver.publish();
};

const SCENARIOS: readonly Scenario[] = [
  { title: 'CreateVolume', before: nothing, call: (driver) => driver.create(), after: 'v1 64 MiB', steps: 4 },
  { title: 'DeleteVolume', before: created, call: (driver) => driver.delete(), after: 'nothing', steps: 2 },
  {
    title: 'ControllerPublishVolume',
    before: created,
    call: (driver) => driver.publish(),
    after: 'v1 64 MiB: node-1 writes',
    steps: 4,
  },
  { title: 'ControllerUnpublishVolume', before: published, call: (driver) => driver.unpublish(), after: 'v1 64 MiB', steps: 2 },
  { title: 'ControllerExpandVolume', before: created, call: (driver) => driver.expand(128 * MiB), after: 'v1 128 MiB', steps: 4 },
];

for (const { title, before, call, after, steps } of SCENARIOS) {
  test(`${title}: killed at each of its ${steps} steps and called again, it ends the same`, async () => {
    for (let death = 1; death <= steps + 1; death += 1) {
      const cluster = new MemoryVolumes();
      await before(new Driver(cluster));
      cluster.dieAt = cluster.steps + death;
      let wasKilled = false;
      await call(new Driver(cluster)).catch((error: unknown) => {
        if (!(error instanceof Killed)) throw error;
        wasKilled = true;
      });
      assert.is(wasKilled, death <= steps, `step ${death}`);
      cluster.dieAt = Infinity;
      const next = new Driver(cluster);
      const once = await call(next);
      assert.is(held(cluster), after, `killed at step ${death}`);
      assert.equal(await call(next), once, 'and once more');
      assert.is(held(cluster), after);
    }
  });
}

test('a publication is the same number as long as it lasts, and another one afterwards', async () => {
  const driver = new Driver(new MemoryVolumes());
  await driver.create();
  assert.equal(await driver.publish(), { attachment: '1', readOnly: 'false' });
  assert.equal(await driver.publish(), { attachment: '1', readOnly: 'false' });
  assert.match(await refusal(driver.publish('node-2')), /^FAILED_PRECONDITION: "node-1" has it/);
  assert.match(await refusal(driver.publish('node-1', { readonly: true })), /^ALREADY_EXISTS: .*for writing already/);
  assert.equal(await driver.publish('node-2', { readonly: true }), { attachment: '2', readOnly: 'true' });
  await driver.unpublish();
  assert.equal(await driver.publish(), { attachment: '3', readOnly: 'false' });
  await driver.unpublish('');
  assert.is(held(driver.volumes), 'v1 64 MiB', 'without a node: from all of them');
});

test('a raw volume is written by several nodes when all of them ask for that, a filesystem never', async () => {
  const driver = new Driver(new MemoryVolumes());
  const many = { volumeCapability: { block: {}, accessMode: { mode: 'MULTI_NODE_MULTI_WRITER' } } } as const;
  await driver.create({ volumeCapabilities: [many.volumeCapability] });
  assert.equal(await driver.publish('node-1', many), { attachment: '1', readOnly: 'false' });
  assert.equal(await driver.publish('node-2', many), { attachment: '2', readOnly: 'false' });
  assert.equal(await driver.publish('node-2', many), { attachment: '2', readOnly: 'false' });
  assert.match(await refusal(driver.publish('node-2')), /^ALREADY_EXISTS: .*"node-2" for shared writing already/);
  await driver.unpublish('node-2');
  assert.match(await refusal(driver.publish('node-2')), /^FAILED_PRECONDITION: "node-1" has it/);
  assert.is(await refusal(driver.publish('node-2', { ...many, readonly: true })), 'OK', 'who only reads is no writer');
  const mounted = { volumeCapability: { mount: {}, accessMode: { mode: 'MULTI_NODE_MULTI_WRITER' } } } as const;
  assert.match(await refusal(driver.publish('node-2', mounted)), /^INVALID_ARGUMENT: .*for raw block only/);
});

test('a call that meets another one for the same volume is sent back, and only that one', async () => {
  const driver = new Driver(new MemoryVolumes());
  const both = await Promise.all([refusal(driver.create()), refusal(driver.create()), refusal(driver.create({ name: 'v2' }))]);
  assert.match(both.sort().join(' | '), /^ABORTED: CreateVolume of volume "v1" waits.* \| OK \| OK$/);
});

test('two drivers that create one volume at the same time: one makes it, the other comes again', async () => {
  const cluster = new MemoryVolumes();
  const outcomes = await Promise.all([refusal(new Driver(cluster).create()), refusal(new Driver(cluster).create())]);
  assert.match(outcomes.sort().join(' | '), /^ABORTED: volume "v1" was made by another call.* \| OK$/);
  assert.is(held(cluster), 'v1 64 MiB');
});

test('capacity: what fits with each copy in another domain', async () => {
  const cluster = new MemoryVolumes();
  const driver = new Driver(cluster);
  const of = async (replicas: string, byDomain: readonly number[]): Promise<number> => {
    cluster.freeByDomain = byDomain;
    return ((await driver.capacity(replicas)) as { availableCapacity: number }).availableCapacity;
  };
  assert.is(await of('3', [100, 100, 100]), 100);
  assert.is(await of('3', [100, 100]), 0, 'no third domain');
  assert.is(await of('2', [300, 10, 10]), 20, 'the large one can give no more than the others together');
  assert.is(await of('2', [100, 100, 100]), 150);
  assert.is(await of('1', [100, 50]), 150);
  assert.is(await of('3', [500, 400, 30, 20]), 50);
});

test('volumes are where nodes with the datapath are, and have room there alone', async () => {
  const cluster = new MemoryVolumes();
  cluster.freeByDomain = [100, 100, 100];
  const driver = new Driver(cluster);
  const at = (value: string) => ({ segments: { 'topology.csi.pureflash.io/datapath': value } });
  const wanted = (...values: string[]) => ({ accessibilityRequirements: { requisite: values.map(at), preferred: [] } });
  const made = (await driver.create(wanted('other', 'present'))) as { volume: { accessibleTopology: unknown } };
  assert.equal(made.volume.accessibleTopology, [{ segments: { 'topology.csi.pureflash.io/datapath': 'present' } }]);
  assert.match(
    await refusal(driver.create({ name: 'v2', ...wanted('other') })),
    /^RESOURCE_EXHAUSTED: .*reach none of the 1 places; choose nodes with the label topology\.csi\.pureflash\.io\/datapath=present/,
  );
  assert.is(held(cluster), 'v1 64 MiB');
  const room = async (accessibleTopology: object | null): Promise<number> =>
    ((await driver.capacity('3', { accessibleTopology })) as { availableCapacity: number }).availableCapacity;
  assert.equal(
    [await room(null), await room(at('present')), await room(at('other')), await room({ segments: {} })],
    [100, 100, 0, 100],
  );
});

test('a growth that is there already grows nothing; a volume that is not there is said so', async () => {
  const driver = new Driver(new MemoryVolumes());
  assert.match(await refusal(driver.expand(MiB)), /^NOT_FOUND: volume "v1" does not exist/);
  await driver.create();
  assert.equal(await driver.expand(MiB), { capacityBytes: 64 * MiB, nodeExpansionRequired: true });
  assert.match(await refusal(driver.publish('node-9')), /^NOT_FOUND/);
  assert.is(await refusal(driver.unpublish('node-9')), 'OK');
});

test.run();

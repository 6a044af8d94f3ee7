// The node service dies before and after every step of every call, and in the middle of a mkfs. The call is then repeated by a new process:
// it ends in the state of a call that was never disturbed. Or it is taken back instead: then nothing is left.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB } from '@pureflash/datapath/base';
import type { VolumeCapability } from '../messages/volume-messages.ts';
import { openNodeHandlers } from '../node.ts';
import { FakeMachine, ProcessDied, type Death, type Moment } from './testing/fake-machine.ts';
import { block, filesystem, Kubelet, quietLog } from './testing/requests.ts';

interface Story {
  readonly name: string;
  readonly capability: VolumeCapability;
  readonly isReadOnlyTarget: boolean;
}

const stories: readonly Story[] = [
  { name: 'ext4', capability: filesystem('ext4'), isReadOnlyTarget: false },
  { name: 'xfs, published read-only', capability: filesystem('xfs'), isReadOnlyTarget: true },
  { name: 'raw block', capability: block(), isReadOnlyTarget: false },
  { name: 'raw block, published read-only, for one pod', capability: block('SINGLE_NODE_SINGLE_WRITER'), isReadOnlyTarget: true },
];

type Call = (volume: Kubelet, story: Story) => Promise<unknown>;

const STAGE: Call = (volume, { capability }) => volume.stage(capability);
const PUBLISH: Call = (volume, { capability, isReadOnlyTarget }) => volume.publish('a', capability, isReadOnlyTarget);
const EXPAND: Call = (volume, { capability }) => volume.expand(volume.target('a'), capability, 2 * GiB);
const UNPUBLISH: Call = (volume) => volume.unpublish('a');
const UNSTAGE: Call = (volume) => volume.unstage();

interface Scene {
  readonly name: string;
  readonly before: readonly Call[];
  readonly call: Call;
  /** What ends it when the caller changes his mind. */
  readonly takeBack: readonly Call[];
}

const scenes: readonly Scene[] = [
  { name: 'stage', before: [], call: STAGE, takeBack: [UNSTAGE] },
  { name: 'stage again', before: [STAGE], call: STAGE, takeBack: [UNSTAGE] },
  { name: 'publish', before: [STAGE], call: PUBLISH, takeBack: [UNPUBLISH, UNSTAGE] },
  { name: 'expand', before: [STAGE, PUBLISH], call: EXPAND, takeBack: [UNPUBLISH, UNSTAGE] },
  { name: 'unpublish', before: [STAGE, PUBLISH], call: UNPUBLISH, takeBack: [UNPUBLISH, UNSTAGE] },
  { name: 'unstage', before: [STAGE, PUBLISH, UNPUBLISH], call: UNSTAGE, takeBack: [UNSTAGE] },
];

async function kubeletOf(machine: FakeMachine, death: Death | null = null): Promise<Kubelet> {
  const options = { log: quietLog, nodeId: 'node-1', stateFolder: '/state', kubeletDirs: ['/k'] };
  // The steps of opening are no part of the call.
  const opened = await openNodeHandlers({ ...machine.startProcess(), ...options });
  if (death === null) return new Kubelet(opened, '/k', 'v1');
  let ports = machine.startProcess();
  const late = <T extends object>(pick: () => T): T =>
    new Proxy({} as T, { get: (_, name) => (pick() as Record<string | symbol, unknown>)[name] });
  const handlers = await openNodeHandlers({
    host: late(() => ports.host),
    attacher: late(() => ports.attacher),
    files: late(() => ports.files),
    ...options,
  });
  ports = machine.startProcess(death);
  return new Kubelet(handlers, '/k', 'v1');
}

/** A machine on which all calls before the one in question have ended well, and a pod has written. */
async function prepare(story: Story, scene: Scene): Promise<FakeMachine> {
  const machine = new FakeMachine();
  machine.addVolume('v1', GiB);
  machine.folders.add('/k/stage-v1');
  for (const call of scene.before) await call(await kubeletOf(machine), story);
  if (scene.before.length > 1) machine.disk('v1').data = 'written by a pod';
  if (scene.name === 'expand') machine.disk('v1').sizeBytes = 2 * GiB;
  return machine;
}

/** False: the call ended before it could die there. */
async function dies(machine: FakeMachine, story: Story, scene: Scene, death: Death): Promise<boolean> {
  try {
    await scene.call(await kubeletOf(machine, death), story);
    return false;
  } catch (error) {
    if (error instanceof ProcessDied) return true;
    throw error;
  }
}

async function undisturbed(story: Story, scene: Scene): Promise<{ snapshot: object; steps: readonly string[] }> {
  const machine = await prepare(story, scene);
  await scene.call(await kubeletOf(machine, { step: 0, moment: 'before' }), story);
  return { snapshot: machine.snapshot(), steps: [...machine.steps] };
}

for (const story of stories) {
  for (const scene of scenes) {
    test(`${story.name}: ${scene.name}, killed at every step`, async () => {
      const wanted = await undisturbed(story, scene);
      let deaths = 0;
      for (const [index, name] of wanted.steps.entries()) {
        const moments: readonly Moment[] = name === 'format' ? ['before', 'during', 'after'] : ['before', 'after'];
        for (const moment of moments) {
          const death = { step: index + 1, moment };
          const where = `died ${moment} step ${index + 1}, ${name}, of ${wanted.steps.join(' ')}`;
          const repeated = await prepare(story, scene);
          assert.ok(await dies(repeated, story, scene, death), where);
          await scene.call(await kubeletOf(repeated), story);
          assert.equal(repeated.snapshot(), wanted.snapshot, where);

          const takenBack = await prepare(story, scene);
          await dies(takenBack, story, scene, death);
          for (const call of scene.takeBack) await call(await kubeletOf(takenBack), story);
          const { mounts, attached, records } = takenBack;
          assert.equal(
            { mounts, attached: attached.size, records: records.size },
            { mounts: [], attached: 0, records: 0 },
            where,
          );
          assert.equal([...takenBack.folders].sort(), ['/k', '/k/stage-v1', '/state'], where);
          if (scene.before.length > 1) assert.is(takenBack.disk('v1').data, 'written by a pod', where);
          deaths += 1;
        }
      }
      assert.ok(deaths >= 2 * wanted.steps.length, `${deaths} deaths`);
    });
  }
}

test('the steps of staging a new volume, in this order', async () => {
  const { steps } = await undisturbed(stories[0]!, scenes[0]!);
  const told = steps.filter((name) => !['look', 'mounts', 'blockDevice'].includes(name));
  assert.is(
    told.join(' '),
    'readStart attach readHead signature isWritten isFree replace format replace makeFolder mount replace',
  );
});

test('a mkfs that died belongs to its attachment: after another node had the volume, its filesystem is not touched', async () => {
  const story = stories[1]!;
  const { steps } = await undisturbed(story, scenes[0]!);
  const afterFormat = { step: steps.indexOf('format') + 1, moment: 'after' as const };
  const machine = await prepare(story, scenes[0]!);
  assert.ok(await dies(machine, story, scenes[0]!, afterFormat));
  // Detached by force; another node has mounted the filesystem and written; the volume comes back by a new attachment.
  machine.attached.clear();
  machine.disk('v1').data = 'written on another node';
  await (await kubeletOf(machine)).stage(story.capability, { publishContext: { attachment: '8' } });
  assert.is(machine.disk('v1').data, 'written on another node');
  assert.is(machine.formatCount, 1);
});

test('a half-made filesystem whose record is lost is left to a person', async () => {
  const story = stories[0]!;
  const { steps } = await undisturbed(story, scenes[0]!);
  const machine = await prepare(story, scenes[0]!);
  await dies(machine, story, scenes[0]!, { step: steps.indexOf('format') + 1, moment: 'during' });
  machine.records.clear();
  const volume = await kubeletOf(machine);
  try {
    await volume.stage(story.capability);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /cannot format volume "v1": it holds data/);
  }
  assert.is(machine.formatCount, 1);
});

test.run();

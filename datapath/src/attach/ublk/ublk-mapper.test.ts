// The ublk mapper on a machine in memory: the life of a device, and the death of its process before and after each call of map(), adopt(), unmap(),
// handOver() and reap(). Afterwards the next process finds a device that it can serve, or nothing at all.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodeOf } from '../../base/errors.ts';
import { MemoryDevice } from '../../block/memory-device.ts';
import type { Mapping } from '../mapper.ts';
import { MemoryMachine, type Crash, type MemoryProcess } from './testing/memory-machine.ts';
import { UblkMapper } from './ublk-mapper.ts';

const MiB = 1024 * 1024;
const FOLDER = '/run/ublk';
const NAME = 'pf-1-v1';

function deviceOn(machine: MemoryMachine, sizeBytes = 64 * MiB): MemoryDevice {
  return new MemoryDevice(machine.memory, { sizeBytes });
}

function mapperOf(process: MemoryProcess): Promise<UblkMapper> {
  return UblkMapper.open(process.world, { folder: FOLDER });
}

async function mapOn(machine: MemoryMachine, process: MemoryProcess): Promise<Mapping> {
  const mapper = await mapperOf(process);
  const mapping = await machine.time.run(mapper.map({ name: NAME, device: deviceOn(machine) }));
  if (mapping === 'died') throw new Error('nothing went on');
  return mapping;
}

async function codeOf(machine: MemoryMachine, action: Promise<unknown>): Promise<string> {
  try {
    return (await machine.time.run(action)) === 'died' ? 'died' : 'done';
  } catch (error) {
    return errorCodeOf(error);
  }
}

function left(machine: MemoryMachine): readonly unknown[] {
  return [machine.ublk.characterDevices(), machine.ublk.disks(), [...machine.files.keys()]];
}

test('a device is made, grows and goes', async () => {
  const machine = new MemoryMachine();
  const process = machine.start();
  const mapper = await mapperOf(process);
  assert.is(await mapper.unavailable(), null);
  const device = deviceOn(machine);
  assert.is(await machine.time.run(mapper.adopt({ name: NAME, device })), null);
  const mapping = (await machine.time.run(mapper.map({ name: NAME, device }))) as Mapping;
  assert.equal([mapping.devicePath, mapping.sizeBytes], ['/dev/ublkb0', 64 * MiB]);
  assert.equal(await mapper.names('pf-1-'), [NAME]);
  assert.is(await codeOf(machine, mapper.map({ name: NAME, device })), 'ALREADY_EXISTS');
  assert.is(await codeOf(machine, mapper.adopt({ name: NAME, device })), 'INVALID_STATE');
  Object.defineProperty(device, 'sizeBytes', { value: 128 * MiB });
  await machine.time.run(mapping.resize());
  assert.equal([mapping.sizeBytes, machine.ublk.sizeBytes(0)], [128 * MiB, 128 * MiB]);
  machine.ublk.device.disk!.isUsed = true;
  assert.is(await codeOf(machine, mapping.unmap()), 'INVALID_STATE');
  assert.equal([machine.ublk.disks(), await mapper.names('')], [['ublkb0'], [NAME]]);
  machine.ublk.device.disk!.isUsed = false;
  assert.is(await codeOf(machine, mapping.unmap()), 'done');
  assert.is(await codeOf(machine, mapping.unmap()), 'done');
  assert.equal(left(machine), [[], [], []]);
});

test('what a kernel lacks is said in words', async () => {
  const machine = new MemoryMachine();
  const { world } = machine.start();
  const { ublk, ...without } = world;
  machine.ublk.features = 0x1fe;
  const said = async (other: UblkMapper): Promise<string> => (await other.unavailable()) ?? 'nothing';
  const open = (changed: object): Promise<UblkMapper> =>
    UblkMapper.open({ ...world, ...changed } as typeof world, { folder: FOLDER });
  assert.match(await said(await open({})), 'lacks UPDATE_SIZE (Linux 6.16), QUIESCE (Linux 6.16): Linux 6.16 is wanted');
  assert.match(await said(await open({ ublk: { ...ublk, unavailable: async () => 'no modprobe' } })), 'no modprobe');
  const old = { ...ublk, control: async () => [{ errno: 95, bytes: new Uint8Array(8) }] };
  assert.is(await said(await open({ ublk: old })), "the kernel's ublk is too old: Linux 6.16 is wanted");
  machine.rights = '00000000a80425fb';
  assert.match(await said(await open({})), 'CAP_SYS_ADMIN is missing');
  const bare = await UblkMapper.open({ ...without, ports: 'libuv' }, { folder: FOLDER });
  assert.match(await said(bare), 'without io_uring');
  assert.is(await codeOf(machine, bare.map({ name: NAME, device: deviceOn(machine) })), 'UNSUPPORTED');
});

test('a killed process leaves its device to the next one; one that lives keeps it', async () => {
  const machine = new MemoryMachine();
  const first = machine.start();
  await mapOn(machine, first);
  const second = await mapperOf(machine.start());
  const device = deviceOn(machine);
  assert.is(await codeOf(machine, second.adopt({ name: NAME, device })), 'INVALID_STATE');
  const adopting = second.adopt({ name: NAME, device });
  first.kill();
  const mapping = (await machine.time.run(adopting)) as Mapping;
  assert.equal([mapping.devicePath, mapping.sizeBytes, machine.ublk.device.state], ['/dev/ublkb0', 64 * MiB, 1]);
  await machine.time.run(mapping.unmap());
  assert.equal(left(machine), [[], [], []]);
});

test('a handed over device waits for the next process while the first lives on', async () => {
  const machine = new MemoryMachine();
  const mapping = await mapOn(machine, machine.start());
  await machine.time.run(mapping.handOver());
  assert.equal([machine.ublk.device.state, machine.ublk.disks()], [2, ['ublkb0']]);
  assert.is(await codeOf(machine, mapping.resize()), 'INVALID_STATE');
  assert.is(await codeOf(machine, mapping.unmap()), 'done');
  assert.equal(machine.ublk.disks(), ['ublkb0']);
  const next = await mapperOf(machine.start());
  const adopted = (await machine.time.run(next.adopt({ name: NAME, device: deviceOn(machine) }))) as Mapping;
  await machine.time.run(adopted.unmap());
  assert.equal(left(machine), [[], [], []]);
});

for (const [how, damage] of [
  ['gone', null],
  ['empty', ''],
  ['another device in it', `{"version":1,"name":"${NAME}","deviceId":7,"owner":null}`],
] as const) {
  test(`a device is found by its hash when its record is ${how}`, async () => {
    const machine = new MemoryMachine();
    const first = machine.start();
    await mapOn(machine, first);
    first.kill();
    const path = `${FOLDER}/${NAME}.ublk.json`;
    if (damage === null) machine.files.delete(path);
    else machine.files.set(path, new TextEncoder().encode(damage));
    const next = await mapperOf(machine.start());
    assert.is(await codeOf(machine, next.map({ name: NAME, device: deviceOn(machine) })), 'ALREADY_EXISTS');
    const mapping = (await machine.time.run(next.adopt({ name: NAME, device: deviceOn(machine) }))) as Mapping;
    assert.is(mapping.devicePath, '/dev/ublkb0');
    await machine.time.run(mapping.unmap());
    assert.equal(left(machine), [[], [], []]);
  });
}

test('reap() removes what nobody serves, stops what is in use, and leaves what is known or served', async () => {
  const machine = new MemoryMachine();
  const first = machine.start();
  await mapOn(machine, first);
  const next = await mapperOf(machine.start());
  assert.equal(await machine.time.run(next.reap('pf-1-', new Set())), []);
  first.kill();
  assert.equal(await machine.time.run(next.reap('pf-1-', new Set([NAME]))), []);
  assert.equal(await machine.time.run(next.reap('pf-2-', new Set())), []);
  machine.ublk.device.disk!.isUsed = true;
  assert.equal(await machine.time.run(next.reap('pf-1-', new Set())), []);
  assert.equal([machine.ublk.disks(), await next.names('')], [[], [NAME]]);
  assert.equal(await machine.time.run(next.reap('pf-1-', new Set())), [NAME]);
  assert.equal(left(machine), [[], [], []]);
});

/** Everything that a process does, dying before or after each of its calls; then what the next one finds. */
async function dieEverywhere(
  act: (machine: MemoryMachine, process: MemoryProcess) => Promise<unknown>,
  before: ((machine: MemoryMachine) => Promise<void>) | null,
  after: (machine: MemoryMachine) => Promise<string>,
): Promise<string[]> {
  const outcomes: string[] = [];
  for (let atCall = 1; ; atCall += 1) {
    for (const when of ['before', 'after'] as const) {
      const machine = new MemoryMachine();
      await before?.(machine);
      const crash: Crash = { atCall, when };
      const process = machine.start(crash);
      await machine.time.run(act(machine, process)).catch(() => {});
      if (process.isAlive) {
        assert.ok(atCall > 1);
        return outcomes;
      }
      outcomes.push(`${atCall} ${when}: ${await after(machine)}`);
      assert.equal(left(machine), [[], [], []], `${atCall} ${when}`);
    }
  }
}

/** The next process adopts what it can, and unmaps it. */
async function adoptNext(machine: MemoryMachine): Promise<string> {
  const mapper = await mapperOf(machine.start());
  const mapping = await machine.time.run(mapper.adopt({ name: NAME, device: deviceOn(machine) }));
  if (mapping === 'died') return 'stuck';
  if (mapping === null) return 'removed';
  await machine.time.run(mapping.unmap());
  return 'adopted';
}

async function reapNext(machine: MemoryMachine): Promise<string> {
  const mapper = await mapperOf(machine.start());
  const removed = await machine.time.run(mapper.reap('pf-1-', new Set()));
  return removed === 'died' ? 'stuck' : removed.length === 1 ? 'reaped' : 'nothing left';
}

const map = mapOn;
const mapped = async (machine: MemoryMachine): Promise<void> => {
  const process = machine.start();
  await mapOn(machine, process);
  process.kill();
};
const adopt = async (machine: MemoryMachine, process: MemoryProcess): Promise<Mapping> =>
  (await machine.time.run((await mapperOf(process)).adopt({ name: NAME, device: deviceOn(machine) }))) as Mapping;

test('map() dies at each step', async () => {
  const outcomes = await dieEverywhere(map, null, adoptNext);
  assert.equal(outcomes, [
    '1 before: removed',
    '1 after: removed', // the record is there
    '2 before: removed',
    '2 after: removed', // the device is there, and no disk
    '3 before: removed',
    '3 after: adopted', // the disk is there
    '4 before: adopted',
    '4 after: adopted', // the record is whole
  ]);
  const reaped = await dieEverywhere(map, null, reapNext);
  assert.equal(new Set(reaped.map((outcome) => outcome.split(': ')[1])), new Set(['nothing left', 'reaped']));
});

test('adopt() dies at each step', async () => {
  const outcomes = await dieEverywhere(adopt, mapped, adoptNext);
  assert.ok(outcomes.length >= 8, String(outcomes.length));
  for (const outcome of outcomes) assert.match(outcome, /: adopted$/);
  for (const outcome of await dieEverywhere(adopt, mapped, reapNext)) assert.match(outcome, /: reaped$/);
});

test('unmap() dies at each step', async () => {
  const unmap = async (machine: MemoryMachine, process: MemoryProcess): Promise<unknown> =>
    (await adopt(machine, process)).unmap();
  const adoption = (await dieEverywhere(adopt, mapped, adoptNext)).length;
  const outcomes = (await dieEverywhere(unmap, mapped, adoptNext)).slice(adoption).map((outcome) => outcome.split(': ')[1]);
  assert.equal(outcomes, ['adopted', 'adopted', 'adopted', 'removed', 'removed', 'removed']);
  const reaped = (await dieEverywhere(unmap, mapped, reapNext)).slice(adoption).map((outcome) => outcome.split(': ')[1]);
  assert.equal(reaped, ['reaped', 'reaped', 'reaped', 'reaped', 'reaped', 'nothing left']);
});

test('handOver() dies at each step', async () => {
  const handOver = async (machine: MemoryMachine, process: MemoryProcess): Promise<unknown> =>
    (await adopt(machine, process)).handOver();
  for (const outcome of await dieEverywhere(handOver, mapped, adoptNext)) assert.match(outcome, /: adopted$/);
});

test('reap() dies at each step', async () => {
  const reap = async (_: MemoryMachine, process: MemoryProcess): Promise<unknown> =>
    (await mapperOf(process)).reap('pf-1-', new Set());
  for (const outcome of await dieEverywhere(reap, mapped, reapNext)) assert.match(outcome, /: (reaped|nothing left)$/);
});

test.run();

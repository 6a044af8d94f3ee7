// pfnbd's service in the simulated world: what is asked twice, what dies in between, and what is left.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../base/errors.ts';
import type { AttachService } from './attach-service.ts';
import type { AttachRequest } from './model.ts';
import { AttachRig } from './testing/attach-rig.ts';

const MiB = 1024 ** 2;
const V1: AttachRequest = { volume_name: 'v1', attachment: 1, read_only: false };

async function rejection(promise: Promise<unknown>): Promise<PfError> {
  try {
    await promise;
  } catch (error) {
    return error as PfError;
  }
  throw new Error('it did not fail');
}

async function started(): Promise<AttachRig> {
  const rig = new AttachRig();
  rig.addVolume('v1');
  await rig.start();
  return rig;
}

const attach = (rig: AttachRig, request: AttachRequest = V1) => rig.process.perform(() => rig.service.attach(request));
const detach = (rig: AttachRig, name = 'v1') => rig.process.perform(() => rig.service.detach(name));
const stateOf = (rig: AttachRig, name = 'v1') => rig.service.list().find((each) => each.volume_name === name)?.state ?? 'none';

test('the same attachment asked for twice is the same device, opened once', async () => {
  const rig = await started();
  const first = await attach(rig);
  assert.equal(first, { ...V1, device: '/dev/scripted0', size: 64 * MiB, mapper: 'scripted', state: 'SERVING' });
  assert.equal(await attach(rig), first);
  assert.is(rig.volume.opens, 1);
  assert.equal(await rig.records(), ['v1.attachment.json']);
  await detach(rig);
  await detach(rig);
  assert.equal([rig.devices.size, rig.volume.opened!.isClosed, await rig.records()], [0, true, []]);
});

test('two volumes at once, and two calls for one of them', async () => {
  const rig = await started();
  rig.addVolume('v2', 7);
  const second = { volume_name: 'v2', attachment: 7, read_only: true };
  const all = await rig.process.perform(() =>
    Promise.all([rig.service.attach(V1), rig.service.attach(second), rig.service.attach(V1)]),
  );
  assert.equal(all[0], all[2]);
  assert.is(rig.volume.opens, 1);
  assert.equal(
    rig.service
      .list()
      .map((each) => each.volume_name)
      .sort(),
    ['v1', 'v2'],
  );
});

test('a newer attachment replaces what is left of an older one, unless that is still mounted', async () => {
  const rig = await started();
  await attach(rig);
  rig.volume.attachment = 2;
  rig.volume.opened!.fail(new PfError('FENCED', 'another one has it'));
  assert.is(stateOf(rig), 'OVER');
  const old = await rejection(attach(rig));
  assert.equal([old.code, old.message], ['FENCED', 'attachment 1 of volume "v1" is over; detach it here and attach it again']);
  const [device] = rig.devices.values();
  device!.isMounted = true;
  const refused = await rejection(attach(rig, { ...V1, attachment: 2 }));
  assert.is(refused.code, 'INVALID_STATE');
  assert.match(refused.message, /the device of attachment 1 is still there; unmount it and detach it first/);
  assert.is((await rejection(detach(rig))).code, 'INVALID_STATE');
  assert.is(stateOf(rig), 'OVER', 'nothing has changed');
  device!.isMounted = false;
  assert.is((await attach(rig, { ...V1, attachment: 2 })).state, 'SERVING');
  assert.is(rig.devices.size, 1);
});

test('a volume that cannot be opened, or does not answer, leaves nothing', async () => {
  const rig = await started();
  assert.is((await rejection(attach(rig, { ...V1, attachment: 9 }))).code, 'FENCED');
  assert.is((await rejection(attach(rig, { ...V1, volume_name: 'none' }))).code, 'NOT_FOUND');
  rig.isClusterReachable = false;
  assert.is((await rejection(attach(rig))).code, 'UNAVAILABLE');
  assert.equal([rig.devices.size, await rig.records(), rig.service.list()], [0, [], []]);
});

test('a growth reaches the device when it is asked for, and when pfnbd comes back', async () => {
  const rig = await started();
  await attach(rig);
  rig.volume.sizeBytes = 128 * MiB;
  const grown = await rig.process.perform(() => rig.service.resize('v1'));
  assert.is(grown.size, 128 * MiB);
  rig.volume.sizeBytes = 256 * MiB;
  rig.process.kill();
  await rig.start();
  await rig.until(() => rig.service.list()[0]?.size === 256 * MiB);
  assert.is((await rejection(rig.process.perform(() => rig.service.resize('v2')))).code, 'NOT_FOUND');
});

test('the next process takes up what is there as soon as the cluster answers', async () => {
  const rig = await started();
  const before = await attach(rig);
  const [device] = rig.devices.values();
  device!.isMounted = true;
  rig.process.kill();
  rig.isClusterReachable = false;
  await rig.start();
  assert.is(stateOf(rig), 'STARTING');
  assert.is((await rejection(attach(rig))).code, 'UNAVAILABLE');
  assert.is((await rejection(detach(rig))).code, 'UNAVAILABLE');
  assert.is(device!.server, null, 'its requests wait');
  rig.isClusterReachable = true;
  await rig.until(() => stateOf(rig) === 'SERVING');
  assert.equal(await attach(rig), before);
  assert.is(rig.volume.opens, 2, 'opened anew, which fences the process before');
  assert.is.not(device!.server, null);
});

test('an attachment that ended meanwhile fails its requests, so that its user can let go', async () => {
  const rig = await started();
  await attach(rig);
  const [device] = rig.devices.values();
  device!.isMounted = true;
  rig.process.kill();
  rig.volume.attachment = 2;
  await rig.start();
  await rig.until(() => stateOf(rig) === 'OVER');
  const errnos: number[] = [];
  device!.server!.submit({ finish: (errno: number) => errnos.push(errno) } as never);
  assert.equal(errnos, [5]);
  device!.isMounted = false;
  await detach(rig);
  assert.equal([rig.devices.size, await rig.records()], [0, []]);
});

test('after a reboot records have no device: they are dropped', async () => {
  const rig = await started();
  await attach(rig);
  rig.process.kill();
  rig.devices.clear();
  await rig.start();
  await rig.until(() => rig.service.list().length === 0);
  assert.equal(await rig.records(), []);
  assert.is((await attach(rig)).device, '/dev/scripted1');
});

test('a device without a record goes when pfnbd starts, unless it is mounted or another node process owns it', async () => {
  const rig = await started();
  await attach(rig);
  const [name] = rig.devices.keys();
  assert.is(name, 'pf-rig-1-v1', 'the instance, the attachment and the volume');
  const prefix = 'pf-rig-';
  const other = { path: '/dev/scripted8', sizeBytes: MiB, isMounted: false, server: null };
  rig.devices.set(`${prefix}7-orphan`, { ...other });
  rig.devices.set(`${prefix}8-mounted`, { ...other, isMounted: true });
  rig.devices.set('pf-other-7-orphan', { ...other });
  rig.process.kill();
  await rig.start();
  await rig.until(() => stateOf(rig) === 'SERVING');
  await rig.until(() => rig.devices.size === 3);
  assert.equal([...rig.devices.keys()].sort(), ['pf-other-7-orphan', 'pf-rig-1-v1', 'pf-rig-8-mounted']);
});

test('handing over leaves the device, ends the process and refuses what comes later', async () => {
  const rig = await started();
  await attach(rig);
  await rig.process.perform(() => rig.service.handOver());
  const [device] = rig.devices.values();
  assert.equal([device!.server, rig.volume.opened!.isClosed], [null, true]);
  assert.is((await rejection(attach(rig))).code, 'NOT_READY');
  await rig.start('pfnbd of the next version');
  await rig.until(() => stateOf(rig) === 'SERVING');
});

test('a cluster that answers nothing keeps nobody from ending: what is under way is left to the next process', async () => {
  const rig = await started();
  rig.addVolume('v2', 7);
  await attach(rig);
  rig.process.kill();
  rig.isClusterSilent = true;
  await rig.start();
  assert.is(stateOf(rig), 'STARTING');
  const before = rig.sim.now;
  const attaching = rig.process.perform(() => {
    const asked = rig.service.attach({ volume_name: 'v2', attachment: 7, read_only: false });
    return Promise.all([rejection(asked), rig.service.handOver()]);
  });
  assert.is((await attaching)[0].code, 'CANCELLED');
  assert.ok(rig.sim.now - before < 1_000, `${rig.sim.now - before} ms`);
  assert.equal([rig.devices.size, await rig.records()], [1, ['v1.attachment.json']]);
  rig.isClusterSilent = false;
  await rig.start('pfnbd of the next version');
  await rig.until(() => stateOf(rig) === 'SERVING');
});

test('whether anything was ever written to a volume', async () => {
  const rig = await started();
  const isWritten = (): Promise<boolean> => rig.process.perform(() => rig.service.isWritten('v1'));
  assert.is((await rejection(isWritten())).code, 'NOT_FOUND');
  await attach(rig);
  assert.is(await isWritten(), false);
  rig.volume.written = [{ length: 64 * MiB, isAllocated: false, isZero: true }];
  assert.is(await isWritten(), false);
  rig.volume.written = [
    { length: 63 * MiB, isAllocated: false, isZero: true },
    { length: MiB, isAllocated: true, isZero: false },
  ];
  assert.is(await isWritten(), true);
  rig.volume.opened!.fail(new PfError('FENCED', 'another one has it'));
  assert.is((await rejection(isWritten())).code, 'FENCED');
});

test('one folder, one pfnbd', async () => {
  const rig = await started();
  assert.is((await rejection(rig.start('a second one'))).code, 'INVALID_STATE');
});

test('without a mapper that works it says what each one lacks', async () => {
  const rig = new AttachRig();
  rig.kernelProblem.text = 'the kernel has no such thing; load it';
  const error = await rejection(rig.start());
  assert.equal(
    [error.code, error.message],
    ['UNSUPPORTED', 'this machine can make no block device (scripted: the kernel has no such thing; load it)'],
  );
});

test('a device of a mapper that cannot be used now keeps its record: nothing is served until it can', async () => {
  const rig = await started();
  await attach(rig);
  const path = '/var/lib/pfnbd/v1.attachment.json';
  const text = new TextDecoder().decode((await rig.process.perform((world) => world.files.read(path)))!);
  assert.match(text, '"scripted"');
  const other = new TextEncoder().encode(text.replace('"scripted"', '"ublk"'));
  await rig.process.perform((world) => world.files.replace(path, other));
  rig.process.kill();
  const { code, message } = await rejection(rig.start());
  assert.equal(
    [code, message],
    [
      'UNSUPPORTED',
      'cannot go on: the device of volume "v1" was made by "ublk", which cannot be used now (this program does not have it); its requests wait in the kernel until that is put right',
    ],
  );
  assert.equal([rig.devices.size, await rig.records()], [1, ['v1.attachment.json']]);
});

test('a mounted device whose record is lost is handed out under no other attachment', async () => {
  const rig = await started();
  const first = await attach(rig);
  const [old] = rig.devices.values();
  old!.isMounted = true;
  await rig.process.perform((world) => world.files.remove('/var/lib/pfnbd/v1.attachment.json'));
  rig.process.kill();
  await rig.start();
  rig.volume.attachment = 2;
  const second = await attach(rig, { ...V1, attachment: 2 });
  assert.is.not(second.device, first.device);
  assert.equal([old!.server, rig.devices.size], [null, 2], 'nobody serves what nobody owns');
});

/** The next process, in which the first `count` steps of that kind fail. */
async function restartedWith(rig: AttachRig, label: string, count: number, error: PfError): Promise<void> {
  const step = rig.step.bind(rig);
  let left = count;
  rig.step = <T>(each: string, run: () => T): Promise<T> =>
    each === label && left-- > 0 ? Promise.reject(error) : step(each, run);
  rig.process.kill();
  await rig.start();
}

test('a device that could not be adopted is tried again, and credentials that are refused end no attachment', async () => {
  for (const [label, code] of [
    ['adopt', 'NOT_READY'],
    ['open the volume', 'PERMISSION_DENIED'],
    ['open the volume', 'INVALID_STATE'],
  ] as const) {
    const rig = await started();
    await attach(rig);
    await restartedWith(rig, label, 3, new PfError(code, 'not now'));
    assert.is(stateOf(rig), 'STARTING', label);
    await rig.until(() => stateOf(rig) === 'SERVING');
  }
});

test('an orphan that does not go keeps nobody waiting', async () => {
  const rig = await started();
  await attach(rig);
  await restartedWith(rig, 'reap', 1, new PfError('TIMEOUT', 'the kernel does not answer'));
  await rig.until(() => stateOf(rig) === 'SERVING');
});

/** Kills pfnbd before each step of `work` in turn; `check` sees the next process. Resolves with the number of deaths. */
async function dieAtEveryStep(
  prepare: (rig: AttachRig) => Promise<void>,
  work: (service: AttachService) => Promise<unknown>,
  check: (rig: AttachRig, death: number) => Promise<void>,
): Promise<number> {
  for (let death = 1; ; death += 1) {
    const rig = await started();
    await prepare(rig);
    rig.dieAt = rig.steps + death;
    if ((await rig.tryOnce(work)) !== 'died') return death - 1;
    await rig.start();
    await rig.until(() => rig.service.list().every((each) => each.state !== 'STARTING'));
    await check(rig, death);
  }
}

async function checkNothingLeft(rig: AttachRig, what: string): Promise<void> {
  await detach(rig);
  assert.equal([rig.devices.size, await rig.records(), rig.service.list()], [0, [], []], what);
}

test('death at every step of an attach: asking again gives one device; giving up leaves nothing', async () => {
  const deaths = await dieAtEveryStep(
    async () => {},
    (service) => service.attach(V1),
    async (rig, death) => {
      const attached = await attach(rig);
      assert.equal(
        [attached.state, rig.devices.size, await rig.records()],
        ['SERVING', 1, ['v1.attachment.json']],
        `death ${death}`,
      );
      await checkNothingLeft(rig, `death ${death}`);
    },
  );
  assert.is(deaths, 4, 'record, open, map, record');
  await dieAtEveryStep(
    async () => {},
    (service) => service.attach(V1),
    (rig, death) => checkNothingLeft(rig, `abandoned after death ${death}`),
  );
});

test('death at every step of a detach and of a resize: asking again finishes it', async () => {
  const attached = async (rig: AttachRig): Promise<void> => void (await attach(rig));
  const detaching = await dieAtEveryStep(
    attached,
    (service) => service.detach('v1'),
    (rig, death) => checkNothingLeft(rig, `death ${death}`),
  );
  assert.is(detaching, 2, 'unmap, record');
  const grown = async (rig: AttachRig): Promise<void> => {
    await attach(rig);
    rig.volume.sizeBytes = 128 * MiB;
  };
  const resizing = await dieAtEveryStep(
    grown,
    (service) => service.resize('v1'),
    async (rig) => assert.is((await rig.process.perform(() => rig.service.resize('v1'))).size, 128 * MiB),
  );
  assert.is(resizing, 3, 'the size, the device, the record');
});

test.run();

// Records of attachments that cannot be read: whatever is mounted stays and is served again.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttachRequest } from './model.ts';
import { AttachRig } from './testing/attach-rig.ts';

const PATH = '/var/lib/pfnbd/v1.attachment.json';
const V1: AttachRequest = { volume_name: 'v1', attachment: 17, read_only: false };
const WHOLE = { version: 1, ...V1, mapper: 'scripted', size: 64 * 1024 ** 2 };

const GARBLED: readonly string[] = [
  '',
  '{"version":1,',
  '\0'.repeat(512),
  'null',
  '[]',
  JSON.stringify({ ...WHOLE, version: 2 }),
  JSON.stringify({ ...WHOLE, volume_name: 'v2' }),
  JSON.stringify({ ...WHOLE, attachment: '17' }),
  JSON.stringify({ ...WHOLE, read_only: 'no' }),
  JSON.stringify({ ...WHOLE, size: -1 }),
];

const textAt = (rig: AttachRig, path: string): Promise<string | null> =>
  rig.process.perform(async (world) => {
    const bytes = await world.files.read(path);
    return bytes === null ? null : new TextDecoder().decode(bytes);
  });

/** v1 attached and mounted; its pfnbd has died, and the record is what the text says. */
async function damaged(text: string, request = V1): Promise<AttachRig> {
  const rig = new AttachRig();
  rig.addVolume('v1', request.attachment).isReadOnly = request.read_only;
  await rig.start();
  await rig.process.perform(() => rig.service.attach(request));
  for (const device of rig.devices.values()) device.isMounted = true;
  await rig.process.perform((world) => world.files.replace(PATH, new TextEncoder().encode(text)));
  rig.process.kill();
  return rig;
}

const serving = (rig: AttachRig): Promise<void> => rig.until(() => rig.service.list()[0]?.state === 'SERVING');

for (const [index, text] of GARBLED.entries()) {
  test(`the mounted device of garbled record ${index} is served again, and the record is made anew`, async () => {
    const rig = await damaged(text);
    await rig.start();
    await serving(rig);
    assert.equal([...rig.devices.keys()], ['pf-rig-17-v1']);
    assert.ok([...rig.devices.values()][0]!.server !== null);
    const [listed] = rig.service.list();
    assert.match(
      listed!.problem!,
      /^its record was damaged \(.*\) and is made anew from its device; the old one is kept as .*check the disk/,
    );
    assert.is(await textAt(rig, `${PATH}.set-aside`), text);
    rig.process.kill();
    await rig.start('the next one');
    await serving(rig);
    assert.equal(rig.service.list(), [
      { ...V1, device: '/dev/scripted0', size: WHOLE.size, mapper: 'scripted', state: 'SERVING' },
    ]);
    assert.equal(JSON.parse((await textAt(rig, PATH))!), WHOLE);
  });
}

test("a reader's device is opened for reading, and one whose attachment is over fails its requests", async () => {
  const rig = await damaged('{', { ...V1, read_only: true });
  await rig.start();
  await serving(rig);
  assert.is(rig.service.list()[0]!.read_only, true);
  const lost = await damaged('{');
  lost.volume.attachment = 18;
  await lost.start();
  await lost.until(() => lost.service.list()[0]?.state === 'OVER');
  const [device] = lost.devices.values();
  const errnos: number[] = [];
  device!.server!.submit({ finish: (errno: number) => errnos.push(errno) } as never);
  assert.equal(errnos, [5]);
  assert.ok(device!.server!.sizeBytes >= device!.sizeBytes, 'nothing of it is behind its end');
});

test('while the cluster does not answer the device waits, and the list says why', async () => {
  const rig = await damaged('{');
  rig.isClusterReachable = false;
  await rig.start();
  await rig.until(() => rig.service.list()[0]?.problem?.startsWith('it cannot be opened yet: ') === true);
  assert.is(rig.service.list()[0]!.state, 'STARTING');
  assert.is(rig.devices.size, 1);
  rig.isClusterReachable = true;
  await serving(rig);
});

test('death at every step of the start leaves the device to the next one', async () => {
  for (let death = 1; ; death += 1) {
    const rig = await damaged('{');
    rig.dieAt = rig.steps + death;
    await rig.start().catch(() => {});
    const isOver = (): boolean => !rig.process.isAlive || rig.service?.list()[0]?.state === 'SERVING';
    await rig.until(isOver);
    if (rig.process.isAlive) {
      await rig.sim.run(rig.sim.now + 100);
      if (rig.process.isAlive) return assert.ok(death > 3, `${death - 1} deaths`);
    }
    await rig.start('the next one');
    await serving(rig);
    assert.equal([...rig.devices.keys()], ['pf-rig-17-v1'], `death ${death}`);
  }
});

test('without a device the record is only kept aside', async () => {
  const rig = await damaged('{');
  rig.devices.clear();
  await rig.start();
  assert.equal([rig.service.list(), await rig.records(), await textAt(rig, `${PATH}.set-aside`)], [[], [], '{']);
});

test.run();

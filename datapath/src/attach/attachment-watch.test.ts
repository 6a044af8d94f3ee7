// What pfnbd learns of the end of its attachments while nobody reads or writes: in the simulated world, from a scripted conductor.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttachRequest } from './model.ts';
import { AttachRig } from './testing/attach-rig.ts';

const MINUTE_MS = 60_000;
const V1: AttachRequest = { volume_name: 'v1', attachment: 1, read_only: false };
const V2: AttachRequest = { volume_name: 'v2', attachment: 2, read_only: true };

async function attached(...requests: readonly AttachRequest[]): Promise<AttachRig> {
  const rig = new AttachRig();
  for (const { volume_name, attachment, read_only } of requests) rig.addVolume(volume_name, attachment).isReadOnly = read_only;
  await rig.start();
  for (const request of requests) await rig.process.perform(() => rig.service.attach(request));
  return rig;
}

const states = (rig: AttachRig): string[] => rig.service.list().map(({ volume_name, state }) => `${volume_name} ${state}`);
const wait = (rig: AttachRig, ms: number): Promise<void> => rig.sim.run(rig.sim.now + ms);

test('an idle volume that another node has got is over within ten seconds: it fails requests and says why; others serve on', async () => {
  for (const taken of ['v1', 'v2']) {
    const rig = await attached(V1, V2);
    await wait(rig, MINUTE_MS);
    assert.equal(states(rig), ['v1 SERVING', 'v2 SERVING']);
    rig.volumes.get(taken)!.attachment = 9;
    await rig.until(() => states(rig).includes(`${taken} OVER`), 10_000);
    const kept = taken === 'v1' ? 'v2' : 'v1';
    assert.ok(states(rig).includes(`${kept} SERVING`));
    const { problem, attachment } = rig.service.list().find((each) => each.volume_name === taken)!;
    assert.is(
      problem,
      `attachment ${attachment} of volume "${taken}" to this node is over (now it is attached to "node"): every request fails; unmount it and detach it here, and attach it again where it is wanted`,
    );
    const errnos: number[] = [];
    rig.volumes.get(taken)!.opened!.submit({ finish: (errno: number) => errnos.push(errno) } as never);
    assert.equal(errnos, [5]);
    await rig.process.perform(() => rig.service.detach(taken));
    assert.equal(states(rig), [`${kept} SERVING`]);
  }
});

test('one question for all volumes, and none while nothing is attached', async () => {
  const rig = await attached(V1, V2);
  await wait(rig, MINUTE_MS);
  assert.ok(rig.lists >= 10 && rig.lists <= 13, `${rig.lists} questions in a minute`);
  await rig.process.perform(() => rig.service.detach('v1'));
  await rig.process.perform(() => rig.service.detach('v2'));
  await wait(rig, MINUTE_MS);
  const { lists } = rig;
  await wait(rig, MINUTE_MS);
  assert.is(rig.lists, lists);
  await rig.process.perform(() => rig.service.attach(V1));
  await rig.until(() => rig.lists > lists, 10_000);
});

test('silence, refusals, and conductors that have forgotten end no attachment', async () => {
  const rig = await attached(V1, V2);
  const isWell = async (when: string): Promise<void> => {
    await wait(rig, MINUTE_MS);
    assert.equal(states(rig), ['v1 SERVING', 'v2 SERVING'], when);
  };
  rig.isClusterReachable = false;
  await isWell('refused');
  rig.isClusterReachable = true;
  rig.listed = [];
  await isWell('a conductor without volumes');
  const { attachEpoch } = rig.volumes.get('v1')!;
  rig.listed = ['v1', 'v2'].map((name) => ({ name, attach_epoch: attachEpoch - 1, attachments: [] }));
  await isWell('a conductor of before');
  rig.listed = null;
  rig.isClusterSilent = true;
  await isWell('silent');
});

test('an answer of before an attachment was made says nothing about it', async () => {
  const rig = await attached(V1);
  await wait(rig, MINUTE_MS);
  rig.volumes.get('v1')!.attachment = 3;
  await rig.process.perform(() => rig.service.detach('v1'));
  await rig.process.perform(() => rig.service.attach({ ...V1, attachment: 3 }));
  await wait(rig, MINUTE_MS);
  assert.equal(states(rig), ['v1 SERVING']);
});

test('a volume that was taken up by the next process is watched, too', async () => {
  const rig = await attached(V2);
  rig.process.kill();
  await rig.start();
  await rig.until(() => states(rig).includes('v2 SERVING'));
  rig.volumes.get('v2')!.attachment = 9;
  await rig.until(() => states(rig).includes('v2 OVER'), 10_000);
});

test.run();

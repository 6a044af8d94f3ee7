// What the node service answers, on a machine in memory: conflicts, orders that are wrong, and a machine that lies.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, MiB, PfError } from '@pureflash/datapath/base';
import { decodeMessage, encodeMessage } from '../messages/codec.ts';
import { NodeGetCapabilitiesResponse, NodeGetInfoResponse } from '../messages/node-service.ts';
import { openNodeHandlers, type NodeOptions } from '../node.ts';
import type { VolumeCapability } from '../messages/volume-messages.ts';
import { FakeMachine } from './testing/fake-machine.ts';
import { block, CALL, filesystem, Kubelet, quietLog, refusal } from './testing/requests.ts';

interface Rig {
  readonly machine: FakeMachine;
  readonly volume: Kubelet;
  readonly other: Kubelet;
  readonly ports: ReturnType<FakeMachine['startProcess']>;
}

function open(machine: FakeMachine, more: Partial<NodeOptions> = {}): ReturnType<typeof openNodeHandlers> {
  const fixed = { log: quietLog, nodeId: 'node-1', stateFolder: '/state', kubeletDirs: ['/k'] };
  return openNodeHandlers({ ...machine.startProcess(), ...fixed, ...more });
}

async function rig(): Promise<Rig> {
  const machine = new FakeMachine();
  machine.addVolume('v1', GiB);
  machine.addVolume('v2', GiB);
  machine.folders.add('/k/stage-v1');
  machine.folders.add('/k/stage-v2');
  const ports = machine.startProcess();
  const node = await open(machine, ports);
  return { machine, ports, volume: new Kubelet(node, '/k', 'v1'), other: new Kubelet(node, '/k', 'v2') };
}

test('the capabilities are those that are real, and no limit or topology is claimed unasked', async () => {
  const node = await open(new FakeMachine());
  const told = encodeMessage(NodeGetCapabilitiesResponse, await node.nodeGetCapabilities!({}, CALL));
  const names = decodeMessage(NodeGetCapabilitiesResponse, told).capabilities.map(({ rpc }) => rpc?.type);
  assert.equal(names, [
    'STAGE_UNSTAGE_VOLUME',
    'GET_VOLUME_STATS',
    'EXPAND_VOLUME',
    'VOLUME_CONDITION',
    'SINGLE_NODE_MULTI_WRITER',
  ]);
  assert.equal(await node.nodeGetInfo!({}, CALL), { nodeId: 'node-1', maxVolumesPerNode: 0, accessibleTopology: null });
  const placed = await open(new FakeMachine(), { topology: { zone: 'a' }, maxVolumes: 16 });
  const info = encodeMessage(NodeGetInfoResponse, await placed.nodeGetInfo!({}, CALL));
  assert.equal(decodeMessage(NodeGetInfoResponse, info).accessibleTopology, { segments: { zone: 'a' } });
});

test('staged in another way: ALREADY_EXISTS, with and without the record', async () => {
  for (const isRecordLost of [false, true]) {
    const { machine, volume } = await rig();
    await volume.stage(filesystem('ext4'));
    if (isRecordLost) machine.records.clear();
    for (const capability of [block(), filesystem('xfs'), filesystem('ext4', 'MULTI_NODE_READER_ONLY')]) {
      assert.match(await refusal(volume.stage(capability)), /^ALREADY_EXISTS: volume "v1" is staged on this node already/);
    }
    const elsewhere = volume.stage(filesystem('ext4'), { stagingTargetPath: '/k/stage-v2' });
    assert.match(await refusal(elsewhere), /^ALREADY_EXISTS/);
    assert.is(await refusal(volume.stage(filesystem('ext4'))), '');
    assert.is(machine.mounts.length, 1);
  }
});

test('other mount flags are another way, as long as the record is there', async () => {
  const { volume } = await rig();
  await volume.stage(filesystem('ext4', 'SINGLE_NODE_WRITER', ['noatime']));
  assert.match(await refusal(volume.stage(filesystem('ext4'))), /^ALREADY_EXISTS: .*with other options/);
  assert.is(await refusal(volume.stage(filesystem('ext4', 'SINGLE_NODE_WRITER', ['noatime']))), '');
});

test('a staging path that another volume has is refused, and so is its unstaging in another name', async () => {
  const { machine, volume, other } = await rig();
  await volume.stage(filesystem());
  const stolen = other.stage(filesystem(), { stagingTargetPath: volume.stagingTargetPath });
  assert.match(await refusal(stolen), /^INVALID_STATE: .*\/dev\/nbd0 is mounted there/);
  assert.match(await refusal(other.unstage(volume.stagingTargetPath)), /^INVALID_ARGUMENT: .*where volume "v1" is staged/);
  assert.is(machine.mounts.length, 1);
});

test('what is not staged is not published', async () => {
  const { machine, volume } = await rig();
  assert.match(await refusal(volume.publish('a', filesystem())), /^INVALID_STATE: .*it is not attached to this node/);
  await volume.stage(block());
  assert.match(await refusal(volume.publish('a', filesystem())), /^INVALID_STATE: .*nothing is mounted/);
  await volume.unstage();
  await volume.stage(filesystem());
  assert.match(await refusal(volume.publish('a', block())), /^INVALID_STATE: .*raw block is wanted/);
  machine.attached.set('v1', { ...machine.attached.get('v1')!, state: 'OVER' });
  assert.match(await refusal(volume.publish('a', filesystem())), /^INVALID_STATE: .*attachment to this node has ended/);
  machine.attached.set('v1', { ...machine.attached.get('v1')!, state: 'STARTING', device: '' });
  assert.match(await refusal(volume.publish('a', filesystem())), /^UNAVAILABLE: .*earlier instance; try again/);
  assert.is(machine.mounts.length, 1);
});

test('many pods of one node share a volume, unless it is for one', async () => {
  const many = await rig();
  await many.volume.stage(filesystem('ext4', 'SINGLE_NODE_MULTI_WRITER'));
  for (const pod of ['a', 'b', 'c']) await many.volume.publish(pod, filesystem('ext4', 'SINGLE_NODE_MULTI_WRITER'));
  assert.is(many.machine.mounts.length, 4);
  for (const capability of [filesystem('ext4', 'SINGLE_NODE_SINGLE_WRITER'), block('SINGLE_NODE_SINGLE_WRITER')]) {
    const { volume } = await rig();
    await volume.stage(capability);
    await volume.publish('a', capability);
    assert.match(await refusal(volume.publish('b', capability)), /^INVALID_STATE: .*ReadWriteOncePod.* published at \/k\/pod-a/);
  }
});

test('a volume that was written raw is not formatted although it begins with zeros, until all of it is trimmed', async () => {
  for (const fsType of ['', 'ext4', 'xfs']) {
    const { machine, volume } = await rig();
    await volume.stage(block());
    await volume.publish('a', block());
    machine.disk('v1').data = 'at an offset';
    machine.disk('v1').isWritten = true;
    await volume.unpublish('a');
    await volume.unstage();
    const said = await refusal(volume.stage(filesystem(fsType)));
    assert.match(
      said,
      /^INVALID_STATE: cannot format volume "v1": it begins with zeros, but blocks of it were written.*blkdiscard/,
    );
    assert.equal([machine.disk('v1').data, machine.formatCount], ['at an offset', 0]);
    await volume.unstage();
    machine.disk('v1').isWritten = false;
    assert.is(await refusal(volume.stage(filesystem(fsType))), '');
    assert.is(machine.formatCount, 1);
  }
});

test('a pfnbd that cannot say what was written lets nothing be formatted, and what is formatted is mounted', async () => {
  const { machine, ports } = await rig();
  const { attach, detach, resize, list } = ports.attacher;
  const isWritten = (): Promise<boolean> => Promise.reject(new PfError('UNSUPPORTED', 'cannot do "is_written"'));
  const node = await open(machine, { ...ports, attacher: { attach, detach, resize, isWritten, list } });
  const volume = new Kubelet(node, '/k', 'v1');
  assert.match(await refusal(volume.stage(filesystem())), /^INVALID_STATE: .*pfnbd on this node is older than this driver/);
  assert.is(machine.formatCount, 0);
  machine.disk('v1').signature = 'ext4';
  machine.disk('v1').head.fill(1);
  assert.is(await refusal(volume.stage(filesystem())), '');
});

test('the condition of a volume whose attachment is over says why, and one that pfnbd still starts says what it waits for', async () => {
  const { machine, volume } = await rig();
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  const attached = machine.attached.get('v1')!;
  machine.attached.set('v1', { ...attached, state: 'OVER', problem: 'it is attached to "node-2"' });
  const over = await volume.stats(volume.target('a'));
  assert.equal(
    [over.abnormal, over.message],
    [
      true,
      'its attachment to this node has ended, so every request fails: end its pods here, and it is unstaged and attached anew (it is attached to "node-2")',
    ],
  );
  machine.attached.set('v1', { ...attached, device: '', state: 'STARTING', problem: 'no conductor answers' });
  const starting = await volume.stats(volume.target('a'));
  assert.equal([starting.abnormal, starting.message.endsWith('requests wait (no conductor answers)')], [true, true]);
  machine.attached.set('v1', { ...attached, problem: 'its record was damaged' });
  assert.is((await volume.stats(volume.target('a'))).abnormal, false, 'it serves');
});

test('unstaging waits until the volume is published nowhere', async () => {
  const { volume } = await rig();
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  assert.match(await refusal(volume.unstage()), /^INVALID_STATE: .*still published at \/k\/pod-a/);
});

test('a umount that claims success and leaves the mount is found out', async () => {
  const { machine, volume } = await rig();
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  machine.lyingUnmounts = 1;
  assert.match(await refusal(volume.unpublish('a')), /^INTERNAL: umount of \/k\/pod-a claimed success/);
  assert.ok(machine.folders.has('/k/pod-a'), 'the target was not removed');
  await volume.unpublish('a');
  machine.lyingUnmounts = 1;
  assert.match(await refusal(volume.unstage()), /^INTERNAL: umount/);
  assert.is(machine.attached.size, 1);
  await volume.unstage();
  assert.is(machine.attached.size, 0);
});

test('mounts that were stacked on one path all go', async () => {
  const { machine, volume } = await rig();
  await volume.stage(filesystem());
  machine.mounts.push({ ...machine.mounts[0]!, id: 900 }, { ...machine.mounts[0]!, id: 901 });
  await volume.unstage();
  assert.equal(machine.mounts, []);
});

test('pods end while pfnbd does not answer, and unstaging has the mount off by the time it fails', async () => {
  const { machine, ports, volume } = await rig();
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  const down = async (): Promise<never> => {
    throw new PfError('UNAVAILABLE', 'pfnbd is down');
  };
  const attacher = { ...ports.attacher, attach: down, detach: down, resize: down, list: down };
  const alone = new Kubelet(await open(machine, { attacher }), '/k', 'v1');
  assert.match((await alone.stats('/k/pod-a')).message, /^pfnbd does not answer: pfnbd is down/);
  await alone.unpublish('a');
  assert.match(await refusal(alone.unstage()), /^UNAVAILABLE/);
  assert.equal(machine.mounts, []);
  await volume.unstage();
  assert.is(machine.attached.size, 0);
});

test('a raw volume that is published keeps its device when pfnbd is silent for a moment', async () => {
  const { machine, volume, ports } = await rig();
  await volume.stage(block());
  await volume.publish('a', block());
  let isSilent = true;
  const moody = {
    ...ports.attacher,
    list: async () => {
      if (isSilent) throw new PfError('TIMEOUT', 'pfnbd did not answer');
      return ports.attacher.list();
    },
    detach: (name: string) => ports.attacher.detach(name),
  };
  const alone = new Kubelet(await open(machine, { ...ports, attacher: moody as never }), '/k', 'v1');
  assert.match(await refusal(alone.unstage()), /^UNAVAILABLE: .*pfnbd does not answer, so nobody can say where it is used/);
  assert.ok(machine.attached.has('v1'), 'its device is still there');
  isSilent = false;
  assert.match(await refusal(alone.unstage()), /^INVALID_STATE: .*still published at/);
});

test('what this driver did not mount it does not unmount', async () => {
  const { machine, volume } = await rig();
  const secret = {
    source: 'tmpfs',
    fsType: 'tmpfs',
    root: '/',
    device: '0:77',
    options: ['rw'],
    superOptions: [],
    propagation: [],
  };
  machine.mounts.push({ ...secret, path: volume.target('a'), id: 900 } as never);
  assert.match(await refusal(volume.unpublish('a')), /^INVALID_STATE: cannot unmount .*tmpfs \(tmpfs\) is mounted there/);
  machine.mounts.push({ ...secret, path: '/k/stage-v1', id: 901 } as never);
  assert.match(await refusal(volume.unstage()), /^INVALID_STATE: cannot unmount \/k\/stage-v1/);
  assert.is(machine.mounts.length, 2);
});

test('a device that somebody holds is not formatted', async () => {
  const { machine, volume } = await rig();
  machine.heldDevices.add('/dev/nbd0');
  assert.match(await refusal(volume.stage(filesystem())), /^INVALID_STATE: .*somebody holds \/dev\/nbd0/);
  assert.is(machine.formatCount, 0);
});

test('one call at a time for a volume: the second is ABORTED, another volume is not', async () => {
  const { machine, ports } = await rig();
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let entered = (): void => {};
  const inside = new Promise<void>((resolve) => (entered = resolve));
  const attach: typeof ports.attacher.attach = async (request) => {
    if (request.volume_name === 'v1') {
      entered();
      await held;
    }
    return await ports.attacher.attach(request);
  };
  const { detach, resize, isWritten, list } = ports.attacher;
  const node = await open(machine, { ...ports, attacher: { attach, detach, resize, isWritten, list } });
  const volume = new Kubelet(node, '/k', 'v1');
  const first = volume.stage(filesystem());
  await inside;
  assert.match(await refusal(volume.unstage()), /^ABORTED: NodeUnstageVolume of volume "v1" waits: NodeStageVolume is under way/);
  await new Kubelet(node, '/k', 'v2').stage(filesystem());
  release();
  await first;
  await volume.unstage();
});

test('a volume that has grown while nobody had it mounted grows when it is staged', async () => {
  const { machine, volume } = await rig();
  const disk = machine.disk('v1');
  disk.signature = 'ext4';
  const view = new DataView(disk.head.buffer);
  view.setUint16(1024 + 0x38, 0xef53, true);
  view.setUint32(1024 + 0x18, 2, true);
  view.setUint32(1024 + 0x04, (512 * MiB) / 4096, true);
  disk.fsBytes = 512 * MiB;
  await volume.stage(filesystem());
  assert.is(disk.fsBytes, GiB);
  assert.is(machine.formatCount, 0);
});

const refused: readonly (readonly [string, VolumeCapability | null, RegExp])[] = [
  ['none', null, /volume_capability is missing/],
  ['no access type', { block: null, mount: null, accessMode: { mode: 'SINGLE_NODE_WRITER' } }, /neither "block" nor "mount"/],
  ['no mode', { block: {}, mount: null, accessMode: null }, /access_mode is missing/],
  ['an unknown mode', block('UNKNOWN'), /access_mode is missing or unknown/],
  ['a filesystem on two nodes', filesystem('ext4', 'MULTI_NODE_MULTI_WRITER'), /for raw block only/],
  ['btrfs', filesystem('btrfs'), /fs_type "btrfs" is not supported: ext4 or xfs wanted/],
  ['a path as a type', filesystem('../../bin/sh'), /fs_type/],
  ['a bind mount', filesystem('ext4', 'SINGLE_NODE_WRITER', ['bind']), /mount_flags: "bind" is not for a volume/],
  ['two flags in one', filesystem('ext4', 'SINGLE_NODE_WRITER', ['noatime,remount']), /no single mount option/],
  ['an option of mount', filesystem('ext4', 'SINGLE_NODE_WRITER', ['-o']), /no single mount option/],
  ['a made folder', filesystem('ext4', 'SINGLE_NODE_WRITER', ['X-mount.mkdir']), /is not for a volume/],
  ['another journal', filesystem('ext4', 'SINGLE_NODE_WRITER', ['journal_path=/dev/sda']), /is not for a volume/],
  ['read-only as a flag', filesystem('ext4', 'SINGLE_NODE_WRITER', ['ro']), /ask for a read-only access mode/],
  ['many flags', filesystem('ext4', 'SINGLE_NODE_WRITER', new Array<string>(65).fill('noatime')), /at most 64/],
  [
    'a mount group',
    {
      block: null,
      mount: { fsType: 'ext4', mountFlags: [], volumeMountGroup: '1000' },
      accessMode: { mode: 'SINGLE_NODE_WRITER' },
    },
    /volume_mount_group is not supported/,
  ],
];

for (const [name, capability, complaint] of refused) {
  test(`a capability that is refused: ${name}`, async () => {
    const { machine, volume } = await rig();
    for (const said of [await refusal(volume.stage(capability)), await refusal(volume.publish('a', capability))]) {
      assert.match(said, /^INVALID_ARGUMENT: /);
      assert.match(said, complaint);
    }
    assert.is(machine.attached.size, 0);
  });
}

test('an SELinux context passes, with its categories', async () => {
  const { volume } = await rig();
  const context = 'context="system_u:object_r:container_file_t:s0:c15,c25"';
  assert.is(await refusal(volume.stage(filesystem('ext4', 'SINGLE_NODE_WRITER', [context, 'noatime', 'data=ordered']))), '');
});

test('ids and attachments that cannot be any are refused', async () => {
  const { machine, volume } = await rig();
  const node = await open(machine);
  for (const volumeId of ['', '../x', 'a/b', 'a b', '$(x)', 'ä', 'x'.repeat(97), 'x'.repeat(4096), '\0']) {
    const given = { volumeId, stagingTargetPath: '/k/stage-v1' };
    assert.match(await refusal(node.nodeUnstageVolume!(given, CALL)), /^INVALID_ARGUMENT: volume_id/, JSON.stringify(volumeId));
  }
  for (const attachment of ['', '-1', '1.5', '0x7', 'seven', '9'.repeat(17)]) {
    const said = await refusal(volume.stage(filesystem(), { publishContext: { attachment } }));
    assert.match(said, /^INVALID_ARGUMENT: publish_context.attachment/, attachment);
  }
  assert.match(
    await refusal(volume.stage(filesystem(), { publishContext: {} })),
    /^INVALID_ARGUMENT: publish_context.attachment/,
  );
  assert.is(machine.attached.size, 0);
});

test('links, other folders and odd spellings are no paths for a volume', async () => {
  const { machine, volume } = await rig();
  machine.links.add('/k/link');
  machine.files.set('/k/file', 3);
  const paths = [
    '/etc',
    '/k',
    '/k/',
    '/kx/y',
    '/k/../etc',
    '/k//x',
    '/k/./x',
    'k/x',
    '/k/link',
    '/k/link/x',
    '/k/file/x',
    '/k/a\u0000',
    `/k${'/n'.repeat(2100)}`,
  ];
  for (const path of paths) {
    assert.match(await refusal(volume.publish('', filesystem(), false, path)), /^INVALID_ARGUMENT: target_path/, path);
    assert.match(
      await refusal(volume.stage(filesystem(), { stagingTargetPath: path })),
      /^INVALID_ARGUMENT: staging_target_path/,
      path,
    );
    assert.match(await refusal(volume.stats(path)), /^NOT_FOUND/, path);
  }
  assert.match(await refusal(volume.stats('')), /^INVALID_ARGUMENT/);
  assert.equal(machine.mounts, []);
});

test('without a staging path a publish comes too early', async () => {
  const { machine } = await rig();
  const node = await open(machine);
  const given = {
    volumeId: 'v1',
    publishContext: {},
    stagingTargetPath: '',
    targetPath: '/k/pod-a',
    volumeCapability: filesystem(),
    readonly: false,
  };
  assert.match(
    await refusal(node.nodePublishVolume!({ ...given, secrets: {}, volumeContext: {} }, CALL)),
    /^FAILED_PRECONDITION/,
  );
});

test.run();

// The discovery on make-believe hosts: names, facts, use; devices that hang or fail; and formatted disks of our own.
import { closeSync, openSync, writeSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { storeUuid } from '../../base/ids.ts';
import { MiB } from '../../base/sizes.ts';
import { EIO } from '../../world/completion.ts';
import type { Disk } from '../../world/disk.ts';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import { makeTestFolder } from '../../world/node/test-folder.ts';
import type { World } from '../../world/world.ts';
import { formatDisk } from '../disk/format-disk.ts';
import type { Device } from './device.ts';
import { discover, type DiscoveryOptions, type DiscoveryWorld } from './discover.ts';
import { HostFixture } from './testing/host-fixture.ts';

const newPath = makeTestFolder();
const SIZE = 32 * MiB;
const NVME_BUS = 'pci0000:5d/0000:5e:00.0/nvme/nvme0/nvme0n1';
const MOUNTS = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw
31 27 8:1 /var/lib /var/lib\\040two rw - ext4 /dev/sda1 rw
40 27 0:43 / /data rw - btrfs /dev/sdd rw
nonsense
`;

let world: World;
test.before(async () => {
  world = await openNodeWorld({ log: silentLogger, memoryBytes: 64 * MiB });
});
test.after(() => world.close());

async function look(host: HostFixture, options: DiscoveryOptions = {}, on: DiscoveryWorld = world): Promise<Device[]> {
  return [...(await discover(on, { root: host.root, ...options })).report.devices];
}

function put(host: HostFixture, name: string, at: number, bytes: readonly number[] | string): void {
  const file = openSync(host.deviceFile(name), 'r+');
  writeSync(file, typeof bytes === 'string' ? Buffer.from(bytes) : Uint8Array.from(bytes), 0, undefined, at);
  closeSync(file);
}

test('an NVMe drive: every field, and the name that lasts', async () => {
  const host = new HostFixture(newPath('host')).add({
    name: 'nvme0n1',
    sizeBytes: SIZE,
    numbers: '259:0',
    bus: NVME_BUS,
    attributes: {
      'queue/rotational': '0\n',
      wwid: 'eui.0025385b71b00001\n',
      'device/model': 'SAMSUNG MZVL2512HCJQ-00B00              \n',
      'device/serial': 'S675NX0T123456      \n',
    },
    links: [
      'dev/disk/by-id/nvme-SAMSUNG_MZVL2512HCJQ_S675NX0T123456',
      'dev/disk/by-id/nvme-SAMSUNG_MZVL2512HCJQ_S675NX0T123456_1',
      'dev/disk/by-id/nvme-eui.0025385b71b00001',
      'dev/disk/by-path/pci-0000:5e:00.0-nvme-1',
    ],
  });
  assert.equal(await look(host), [
    {
      path: '/dev/disk/by-id/nvme-SAMSUNG_MZVL2512HCJQ_S675NX0T123456_1',
      name: 'nvme0n1',
      links: [
        '/dev/disk/by-id/nvme-SAMSUNG_MZVL2512HCJQ_S675NX0T123456_1',
        '/dev/disk/by-id/nvme-SAMSUNG_MZVL2512HCJQ_S675NX0T123456',
        '/dev/disk/by-id/nvme-eui.0025385b71b00001',
        '/dev/disk/by-path/pci-0000:5e:00.0-nvme-1',
      ],
      model: 'SAMSUNG MZVL2512HCJQ-00B00',
      serial: 'S675NX0T123456',
      wwn: 'eui.0025385b71b00001',
      sizeBytes: 33554432,
      isRotational: false,
      isReadOnly: false,
      transport: 'nvme',
      partitions: [],
      holders: [],
      candidate: 'any',
      candidateReason: null,
      use: 'blank',
      usedBy: null,
      isInUse: false,
      error: null,
      storeUuid: null,
      diskUuid: null,
      formatVersion: null,
    },
  ]);
});

test('serial and model come from where there are any: the unit serial page, udev', async () => {
  const host = new HostFixture(newPath('host'))
    .add({
      name: 'sda',
      sizeBytes: SIZE,
      numbers: '8:0',
      bus: 'pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda',
      attributes: { 'device/vpd_pg80': Buffer.from('\0\x80\0\x0a   WD-12345', 'latin1'), 'queue/rotational': '1\n' },
      udev: 'S:disk/by-id/x\nE:ID_MODEL=WDC_WD40\nE:ID_SERIAL_SHORT=other\nE:ID_WWN=0x50014ee2\n',
    })
    .add({ name: 'sdb', sizeBytes: SIZE, numbers: '8:16', udev: 'E:ID_SERIAL_SHORT=abc\x1b[2Jdef\n' });
  const [sda, sdb] = await look(host);
  assert.equal([sda!.model, sda!.serial, sda!.wwn, sda!.isRotational], ['WDC_WD40', 'WD-1234', '0x50014ee2', true]);
  assert.equal([sda!.transport, sda!.path], ['sata', '/dev/sda']);
  assert.equal([sdb!.serial, sdb!.isRotational, sdb!.transport], ['abc [2Jdef', null, 'scsi']);
});

test('use: what is on it, where it is mounted, swap, holders, partitions', async () => {
  const host = new HostFixture(newPath('host'))
    .add({
      name: 'sda',
      sizeBytes: SIZE,
      numbers: '8:0',
      partitions: [
        { name: 'sda1', sizeBytes: MiB, numbers: '8:1' },
        { name: 'sda2', sizeBytes: MiB, numbers: '8:2' },
        { name: 'sda10', sizeBytes: MiB, numbers: '8:10', holders: ['dm-0'] },
      ],
    })
    .add({ name: 'sdb', sizeBytes: SIZE, numbers: '8:16' })
    .add({ name: 'sdc', sizeBytes: SIZE, numbers: '8:32', holders: ['md0'] })
    .add({ name: 'sdd', sizeBytes: SIZE, numbers: '8:48' })
    .add({ name: 'sde', sizeBytes: SIZE, numbers: '8:64' })
    .add({ name: 'sdf', sizeBytes: SIZE, numbers: '8:80', partitions: [{ name: 'sdf1', sizeBytes: MiB, numbers: '8:81' }] });
  host.write('proc/1/mountinfo', MOUNTS);
  host.write('proc/swaps', 'Filename Type Size Used Priority\n/dev/sda2 partition 100 0 -2\n/swap\\040file file 1 0 -3\n');
  put(host, 'sdb', 0, 'XFSB');
  put(host, 'sdc', 4096, [0xfc, 0x4e, 0x2b, 0xa9]);
  put(host, 'sdd', 65600, '_BHRfS_M');
  put(host, 'sde', 20 * MiB, 'x');
  const devices = await look(host);
  assert.equal(
    devices.map((each) => [each.name, each.use, each.usedBy, each.isInUse]),
    [
      [
        'sda',
        'foreign',
        '3 partitions, sda1 mounted on /, mounted on /var/lib two, sda2 in use as swap, sda10 held by dm-0',
        true,
      ],
      ['sdb', 'foreign', 'XFS', false],
      ['sdc', 'foreign', 'RAID member (md 1.2), held by md0', true],
      ['sdd', 'foreign', 'Btrfs, mounted on /data', true],
      ['sde', 'foreign', 'unknown data at offset 20971520', false],
      ['sdf', 'foreign', '1 partition', false],
    ],
  );
  assert.equal(devices[0]!.partitions, [
    { name: 'sda1', sizeBytes: 1048576, usedBy: 'mounted on /, mounted on /var/lib two' },
    { name: 'sda2', sizeBytes: 1048576, usedBy: 'in use as swap' },
    { name: 'sda10', sizeBytes: 1048576, usedBy: 'held by dm-0' },
  ]);
});

test('candidates: a reason for every device that is none for everybody; empty slots are left out', async () => {
  const host = new HostFixture(newPath('host'));
  for (const name of ['dm-0', 'md0', 'loop0', 'zram0', 'ram0', 'nbd0', 'sr0', 'vdb', 'mmcblk0', 'strange0'])
    host.add({ name, sizeBytes: SIZE });
  host.add({ name: 'loop1', sizeBytes: 0 }).add({ name: 'nbd1', sizeBytes: 0 }).add({ name: 'sdz', sizeBytes: 0 });
  host.add({ name: 'dm-1', sizeBytes: SIZE, attributes: { 'dm/uuid': 'mpath-3600a098' } });
  host.add({ name: 'sda', sizeBytes: SIZE, attributes: { ro: '1\n' } });
  host.add({ name: 'sdb', sizeBytes: SIZE, attributes: { removable: '1\n' } });
  host.add({ name: 'sdc', sizeBytes: MiB });
  host.add({ name: 'sdd', sizeBytes: SIZE, bus: 'pci0000:00/0000:00:14.0/usb2/2-1/host7/block/sdd' });
  host.add({ name: 'nvme1c1n1', sizeBytes: SIZE, attributes: { hidden: '1\n' } });
  const devices = await look(host);
  assert.equal(
    devices.map((each) => `${each.name} ${each.candidate}: ${each.candidateReason}`),
    [
      'vdb any: null',
      'dm-1 any: null',
      'md0 named: RAID array: replicas are on other hosts, so give its members; or name it if you mean it',
      'sdb named: removable: name it if you mean it',
      'sdd named: on USB: name it if you mean it',
      'dm-0 named: lies on other devices: name it if you mean it, or give those below',
      'mmcblk0 named: memory card or soldered flash, which often holds the system: name it if you mean it',
      'strange0 named: kind of device that this program does not know: name it if you mean it',
      'sda never: read-only',
      'sdc never: too small: at least 16777216 bytes are wanted',
      'sdz never: has no size: no medium, or nothing attached',
      'sr0 never: optical drive',
      'nbd0 never: network block device: a volume of this or of another cluster',
      'ram0 never: memory: empty after a restart',
      'loop0 never: loop device: for laboratories only',
      'zram0 never: compressed memory: empty after a restart',
    ],
  );
  const inLaboratory = (await look(host, { allowsLoop: true })).find(({ name }) => name === 'loop0')!;
  assert.equal([inLaboratory.candidate, inLaboratory.use], ['any', 'blank']);
  assert.equal(
    devices.filter(({ use }) => use === 'blank').map(({ name }) => name),
    ['vdb', 'dm-1', 'md0', 'sdb', 'sdd', 'dm-0', 'mmcblk0', 'strange0', 'sda'],
  );
});

test('a disk of ours says which store and which disk; a file system made over it makes it foreign', async () => {
  const host = new HostFixture(newPath('host')).add({ name: 'sda', sizeBytes: SIZE, numbers: '8:0' });
  const uuid = storeUuid('11111111-2222-4333-8444-555555555555');
  const disk = await world.disks.open(host.deviceFile('sda'), {});
  const head = await formatDisk(world, disk, { storeUuid: uuid });
  const [open] = await look(host);
  assert.equal([open!.use, open!.isInUse], ['store', true]);
  assert.is(open!.usedBy, 'store 11111111-2222-4333-8444-555555555555, open by another process');
  await disk.close();
  const [closed] = await look(host);
  assert.equal([closed!.use, closed!.isInUse, closed!.formatVersion], ['store', false, 1]);
  assert.equal([closed!.storeUuid, closed!.diskUuid], [uuid, head.diskUuid]);
  // Data of users may look like anything, also at the very end.
  put(host, 'sda', SIZE - 512, 'EFI PART');
  assert.is((await look(host))[0]!.use, 'store');
  put(host, 'sda', 0, [0]);
  assert.is((await look(host))[0]!.use, 'store', 'the second head is enough');
  put(host, 'sda', 1080, [0x53, 0xef]);
  assert.equal([(await look(host))[0]!.use, (await look(host))[0]!.usedBy], ['foreign', 'ext2, over a PureFlash disk']);
});

test('a disk of ours with damaged heads is foreign', async () => {
  const host = new HostFixture(newPath('host')).add({ name: 'sda', sizeBytes: SIZE });
  put(host, 'sda', 0, 'PFSTORE\0');
  const [device] = await look(host);
  assert.equal([device!.use, device!.usedBy], ['foreign', 'PureFlash disk with a damaged head']);
});

test('a blank device that another has open is not blank', async () => {
  const host = new HostFixture(newPath('host')).add({ name: 'sda', sizeBytes: SIZE });
  const disk = await world.disks.open(host.deviceFile('sda'), {});
  const [device] = await look(host);
  assert.equal([device!.use, device!.usedBy, device!.isInUse], ['foreign', 'open by another process', true]);
  await disk.close();
});

test('devices without a node, that fail or that hang are reported, and the others are looked at', async () => {
  const host = new HostFixture(newPath('host'))
    .add({ name: 'sda', sizeBytes: SIZE, hasNode: false })
    .add({ name: 'sdb', sizeBytes: SIZE })
    .add({ name: 'sdc', sizeBytes: SIZE })
    .add({ name: 'sdd', sizeBytes: SIZE })
    .add({ name: 'sde', sizeBytes: SIZE });
  const opened: string[] = [];
  const disks = {
    async open(path: string, options: { isReadOnly?: boolean }): Promise<Disk> {
      opened.push(`${path.slice(-3)} ${options.isReadOnly}`);
      if (path.endsWith('sdb')) return new Promise(() => {});
      const disk = await world.disks.open(path, options);
      if (path.endsWith('sdc'))
        disk.read = (_offset, _memory, _length, done) => world.turn.atEnd({ runAtTurnEnd: () => done.complete(EIO) });
      if (path.endsWith('sdd')) disk.read = () => {};
      return disk;
    },
  };
  const on = { files: world.files, memory: world.memory, clock: world.clock, disks };
  const { report, isHung } = await discover(on, { root: host.root, timeoutMs: 300, parallel: 2 });
  assert.is(isHung, true);
  assert.equal(
    report.devices.map(({ name, use }) => `${name} ${use}`),
    ['sda foreign', 'sdb foreign', 'sdc foreign', 'sdd foreign', 'sde blank'],
  );
  assert.match(report.devices[0]!.error!, /^cannot be read: cannot open disk .*ENOENT/);
  assert.is(report.devices[1]!.error, 'does not answer within 300 ms');
  assert.match(report.devices[2]!.error!, /^cannot be read: cannot look for existing data on disk .*errno 5/);
  assert.is(report.devices[3]!.error, 'does not answer within 300 ms');
  assert.ok(
    opened.every((each) => each.endsWith(' true')),
    'nothing is ever opened for writing',
  );
});

test('no more devices are looked at at once than allowed', async () => {
  const host = new HostFixture(newPath('host'));
  for (let index = 0; index < 12; index += 1) host.add({ name: `vd${'abcdefghijkl'[index]!}`, sizeBytes: SIZE });
  let now = 0;
  let most = 0;
  const disks = {
    async open(path: string, options: object): Promise<Disk> {
      const disk = await world.disks.open(path, options);
      if (!('isExclusive' in options)) {
        now += 1;
        most = Math.max(most, now);
        const close = disk.close.bind(disk);
        disk.close = async () => {
          now -= 1;
          await close();
        };
      }
      return disk;
    },
  };
  const devices = await look(host, { parallel: 3 }, { files: world.files, memory: world.memory, clock: world.clock, disks });
  assert.is(devices.filter(({ use }) => use === 'blank').length, 12);
  assert.is(most, 3);
});

test('a host without block devices, and a /sys full of nonsense, give a report', async () => {
  assert.equal(await look(new HostFixture(newPath('host'))), []);
  const host = new HostFixture(newPath('host'));
  host.add({
    name: 'sda',
    sizeBytes: SIZE,
    numbers: 'a:b',
    attributes: { size: '99999999999999999999\n', 'queue/rotational': 'maybe', 'device/model': '\0\xff\n' },
  });
  host.write('proc/1/mountinfo', ' - - - \n1 2\n\0\xff - \n');
  host.write('proc/swaps', '\n\n\\777\n');
  const [device] = await look(host);
  assert.equal([device!.sizeBytes, device!.isRotational, device!.candidate, device!.use], [0, null, 'never', 'foreign']);
});

test.run();

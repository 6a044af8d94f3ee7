// The forms of a report, and the parsers of the kernel's lists: exact text, limits, hostile content.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../base/sizes.ts';
import { TestRandom } from '../disk/testing/test-random.ts';
import type { Device, DiscoveryReport } from './device.ts';
import { parseMountInfo, parseSwaps } from './mounts.ts';
import { formatReportJson, formatReportTable } from './report.ts';
import { formatTerminationLog, parseTerminationLog, type ShortReport } from './short-report.ts';
import { compareLinks } from './stable-links.ts';

function device(name: string, more: Partial<Device> = {}): Device {
  return {
    path: `/dev/${name}`,
    name,
    links: [],
    model: null,
    serial: null,
    wwn: null,
    sizeBytes: 32 * MiB,
    isRotational: null,
    isReadOnly: false,
    transport: 'virtio',
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
    ...more,
  };
}

const report = (...devices: Device[]): DiscoveryReport => ({ version: 1, devices });

test('the table is for people: one line a device, nothing that steers a terminal', () => {
  const text = formatReportTable(report(device('vda'), device('sdb', { use: 'foreign', usedBy: 'ext4, mounted on /a\x1b[2J' })));
  assert.is(text.split('\n').length, 6);
  assert.match(text, 'ext4, mounted on /a?[2J');
  assert.not.match(text, /\x1b/);
});

test('the JSON is the report', () => {
  const whole = report(device('vda'));
  assert.equal(JSON.parse(formatReportJson(whole)), whole);
});

test('the termination log leaves out what is null, and says nothing of truncation when all fit', () => {
  assert.is(
    formatTerminationLog(report(device('vda', { serial: 'S1', isRotational: false }))),
    '{"version":1,"devices":[{"path":"/dev/vda","name":"vda","sizeBytes":33554432,"use":"blank",' +
      '"isRotational":false,"serial":"S1","transport":"virtio"}]}',
  );
});

test('the termination log never exceeds 4096 bytes, keeps the front, and counts what was left out', () => {
  const long = '\u00e4\u{1f4be}"'.repeat(200);
  const devices = Array.from({ length: 500 }, (_, index) => device(`vd${index}`, { usedBy: long, model: long, use: 'foreign' }));
  for (const count of [5, 40, 500]) {
    const text = formatTerminationLog(report(...devices.slice(0, count)));
    assert.ok(Buffer.byteLength(text) <= 4096, `${Buffer.byteLength(text)} bytes`);
    const short = JSON.parse(text) as ShortReport;
    assert.is(short.devices.length + (short.truncated ?? 0), count);
    assert.is(short.devices[0]!.name, 'vd0');
  }
  const many = formatTerminationLog(report(...Array.from({ length: 100 }, (_, index) => device(`vd${index}`))));
  assert.ok(Buffer.byteLength(many) > 3900, 'as many as fit');
});

test('the termination log gives up other names before it gives up devices', () => {
  const links = [1, 2, 3].map((each) => `/dev/disk/by-id/${'x'.repeat(200)}-${each}`);
  const path = links[0]!;
  const few = parseTerminationLog(formatTerminationLog(report(device('vda', { path, links }))));
  assert.equal(few.devices[0]!.links, links);
  const many = Array.from({ length: 10 }, (_, index) => device(`vd${index}`, { path, links }));
  const short = parseTerminationLog(formatTerminationLog(report(...many)));
  assert.is(short.devices.length, 10);
  assert.is(short.truncated, 0);
  assert.equal(short.devices[0]!.links, [path]);
});

test('what was written to a termination log is read back', () => {
  const foreign = device('sdb', {
    use: 'foreign',
    usedBy: 'ext4, mounted on /',
    isInUse: true,
    candidate: 'named',
    candidateReason: 'on USB',
    serial: 'S',
  });
  const short = parseTerminationLog(formatTerminationLog(report(device('vda'), foreign)));
  assert.equal(short, {
    version: 1,
    truncated: 0,
    devices: [
      {
        path: '/dev/vda',
        name: 'vda',
        links: ['/dev/vda'],
        sizeBytes: 33554432,
        use: 'blank',
        candidate: 'any',
        isInUse: false,
        transport: 'virtio',
      },
      {
        path: '/dev/sdb',
        name: 'sdb',
        links: ['/dev/sdb'],
        sizeBytes: 33554432,
        use: 'foreign',
        candidate: 'named',
        isInUse: true,
        serial: 'S',
        transport: 'virtio',
        usedBy: 'ext4, mounted on /',
        candidateReason: 'on USB',
      },
    ],
  });
});

test('a termination log that pfdiscover did not write is refused, whatever it holds', () => {
  const good = '{"path":"/dev/vda","name":"vda","sizeBytes":1,"use":"blank"}';
  const bad = [
    '',
    'null',
    '[]',
    '{"version":2,"devices":[]}',
    '{"version":1}',
    '{"version":1,"devices":[1]}',
    `{"version":1,"devices":[${good}],"truncated":-1}`,
    `{"version":1,"devices":[${good.replace('blank', 'empty')}]}`,
    `{"version":1,"devices":[${good.replace('1,', '-1,')}]}`,
    `{"version":1,"devices":[${good.replace('"/dev/vda"', '7')}]}`,
    `{"version":1,"devices":[${good.replace('}', ',"serial":{}}')}]}`,
    `{"version":1,"devices":[${good.replace('}', ',"links":[1]}')}]}`,
    `{"version":1,"devices":[]}${' '.repeat(4096)}`,
  ];
  for (const text of bad) assert.throws(() => parseTerminationLog(text), /cannot read the termination log of pfdiscover/, text);
  const random = new TestRandom(3);
  const whole = `{"version":1,"devices":[${good}]}`;
  for (let round = 0; round < 3000; round += 1) {
    const at = random.u32() % whole.length;
    const text = whole.slice(0, at) + String.fromCharCode(random.u32() % 128) + whole.slice(at + 1);
    try {
      parseTerminationLog(text);
    } catch (error) {
      assert.match((error as Error).message, /cannot read the termination log of pfdiscover/);
    }
  }
});

test('one device that alone is too long is left out', () => {
  const text = formatTerminationLog(report(device('vda', { path: `/dev/disk/by-id/${'x'.repeat(5000)}` })));
  assert.is(text, '{"version":1,"devices":[],"truncated":1}');
});

test('links: model and serial, then numbers, then the path, then names made from content', () => {
  const links = [
    '/dev/disk/by-id/lvm-pv-uuid-abc',
    '/dev/disk/by-path/pci-0000:00:1f.2-ata-1',
    '/dev/disk/by-id/wwn-0x5000c500',
    '/dev/disk/by-id/ata-WDC_WD40_1234',
    '/dev/disk/by-id/scsi-35000c500',
    '/dev/disk/by-id/dm-uuid-mpath-3600a',
  ];
  assert.equal(links.toSorted(compareLinks), [
    '/dev/disk/by-id/ata-WDC_WD40_1234',
    '/dev/disk/by-id/dm-uuid-mpath-3600a',
    '/dev/disk/by-id/scsi-35000c500',
    '/dev/disk/by-id/wwn-0x5000c500',
    '/dev/disk/by-path/pci-0000:00:1f.2-ata-1',
    '/dev/disk/by-id/lvm-pv-uuid-abc',
  ]);
});

test('mounts: optional fields, escapes and sources; lines without sense are skipped', () => {
  assert.equal(
    parseMountInfo(
      '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw\n1 2 - 4\n\n36 35 x / / rw - a b c\n',
    ),
    [{ device: '98:0', mountPoint: '/mnt 2', source: 'root' }],
  );
  assert.equal(parseMountInfo('36 35 0:21 / /proc rw - proc proc rw'), [{ device: '0:21', mountPoint: '/proc', source: null }]);
});

test('the parsers take anything', () => {
  const random = new TestRandom(11);
  const letters = ['-', ' ', '\n', '/dev/', ':', '8', '\\040', '\\777', '\0', 'x', '\u{1f4be}'];
  for (let round = 0; round < 2000; round += 1) {
    const text = Array.from({ length: random.u32() % 60 }, () => letters[random.u32() % letters.length]!).join('');
    for (const { device: numbers } of parseMountInfo(text)) assert.match(numbers, /^\d+:\d+$/);
    for (const name of parseSwaps(text)) assert.not.ok(name.includes('/'));
  }
});

test.run();

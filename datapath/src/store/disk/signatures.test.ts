// Every signature at its place, on disks of an even and of an odd size; and hostile bytes, which may be misnamed but never throw.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../../base/sizes.ts';
import { MemoryDisk } from './testing/memory-disk.ts';
import { testWorld } from './testing/store-bench.ts';
import { TestRandom } from './testing/test-random.ts';
import { findContent, inspectContent } from './blank-check.ts';
import { recognise, type DiskEnds } from './signatures.ts';

/** No multiple of 4096, of 64 KiB or of 256 KiB: what counts from the end has to round. */
const SIZE = 3 * MiB + 7 * 512;
const LAST = SIZE - MiB;

function endsOf(bytes: Uint8Array): DiskEnds {
  return {
    sizeBytes: bytes.length,
    first: bytes.subarray(0, MiB),
    last: bytes.subarray(bytes.length - MiB),
    lastOffset: bytes.length - MiB,
  };
}

function namesOf(...places: (readonly [number, string | readonly number[]])[]): string[] {
  const bytes = new Uint8Array(SIZE);
  for (const [at, value] of places) bytes.set(typeof value === 'string' ? Buffer.from(value, 'latin1') : value, at);
  return recognise(endsOf(bytes));
}

const CASES: readonly (readonly [string, number, string | readonly number[]])[] = [
  ['ext2', 1080, '\x53\xef'],
  ['XFS', 0, 'XFSB'],
  ['Btrfs', 65600, '_BHRfS_M'],
  ['F2FS', 1024, '\x10\x20\xf5\xf2'],
  ['NTFS', 3, 'NTFS    '],
  ['exFAT', 3, 'EXFAT   '],
  ['FAT', 82, 'FAT32   '],
  ['FAT', 54, 'FAT16   '],
  ['FAT', 54, 'FAT12   '],
  ['ISO 9660', 32769, 'CD001'],
  ['swap', 4086, 'SWAPSPACE2'],
  ['swap', 65526, 'SWAPSPACE2'],
  ['swap', 4086, 'SWAP-SPACE'],
  ['a hibernated system', 4086, 'S1SUSPEND\0'],
  ['LVM physical volume', 512, 'LABELONE'],
  ['LVM physical volume', 0, 'LABELONE'],
  ['RAID member (md 1.1)', 0, '\xfc\x4e\x2b\xa9'],
  ['RAID member (md 1.2)', 4096, '\xfc\x4e\x2b\xa9'],
  ['RAID member (md 1.0)', 3 * MiB - 8192, '\xfc\x4e\x2b\xa9'],
  ['RAID member (md 0.90)', 3 * MiB - 65536, '\xfc\x4e\x2b\xa9'],
  ['RAID member (md 0.90)', 3 * MiB - 65536, '\xa9\x2b\x4e\xfc'],
  ['RAID member (Intel)', SIZE - 1024, 'Intel Raid ISM Cfg Sig. 1.1.00'],
  ['RAID member (DDF)', SIZE - 512, '\xde\x11\xde\x11'],
  ['LUKS1', 0, 'LUKS\xba\xbe\0\x01'],
  ['LUKS2', 0, 'LUKS\xba\xbe\0\x02'],
  ['LUKS2', 16384, 'SKUL\xba\xbe\0\x02'],
  ['ZFS', 128 * KiB, '\x0c\xb1\xba\0\0\0\0\0'],
  ['ZFS', 128 * KiB + 77 * KiB, '\x0c\xb1\xba\0\0\0\0\0'],
  ['ZFS', 3 * MiB - 512 * KiB + 128 * KiB, '\0\0\0\0\0\xba\xb1\x0c'],
  ['ZFS', 3 * MiB - 256 * KiB + 128 * KiB, '\x0c\xb1\xba\0\0\0\0\0'],
  ['bcache', 4120, '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81'],
  ['bcachefs', 4120, '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef'],
  ['Ceph BlueStore', 0, 'bluestore block device\n'],
  ['DRBD', 3 * MiB - 4096 + 60, '\x83\x74\x02\x6d'],
  ['DRBD', 3 * MiB - 4096 + 60, '\x83\x74\x02\x6b'],
  ['VDO', 0, 'dmvdo001'],
  ['a disk of the original PureFlash', 0, 'NBS5'],
  ['GPT with a damaged header', 512, 'EFI PART'],
  ['GPT with a damaged header', 4096, 'EFI PART'],
  ['the backup of a GPT', SIZE - 512, 'EFI PART'],
  ['the backup of a GPT', SIZE - 4096, 'EFI PART'],
  ['MBR without partitions, or a boot sector', 510, '\x55\xaa'],
];

for (const [name, at, bytes] of CASES) {
  test(`${name} is known by its bytes at ${at}, and not one byte further on`, () => {
    assert.equal(namesOf([at, bytes]), [name]);
    const moved = namesOf([at + 1, bytes]);
    assert.not.ok(moved.includes(name), moved.join());
  });
}

test('ext3 has a journal, ext4 has what only it knows', () => {
  assert.equal(namesOf([1080, '\x53\xef'], [1024 + 92, [4]]), ['ext3']);
  assert.equal(namesOf([1080, '\x53\xef'], [1024 + 92, [4]], [1024 + 96, [0x40]]), ['ext4']);
  assert.equal(namesOf([1080, '\x53\xef'], [1024 + 101, [4]]), ['ext4']);
});

test('partitions are counted', () => {
  const entry = [0, 0, 0, 0, 0x83];
  assert.equal(namesOf([510, '\x55\xaa'], [446, entry]), ['MBR with 1 partition']);
  assert.equal(namesOf([510, '\x55\xaa'], [446, entry], [494, entry]), ['MBR with 2 partitions']);
  const header = 'EFI PART' + '\0'.repeat(64) + '\x02\0\0\0\0\0\0\0' + '\x80\0\0\0' + '\x80\0\0\0';
  assert.equal(namesOf([512, header], [1024, [1]], [1024 + 128, [1]], [1024 + 127 * 128, [1]]), ['GPT with 3 partitions']);
  assert.equal(namesOf([512, header]), ['GPT with no partition']);
});

test('several at once are all named, each once', () => {
  assert.equal(namesOf([1080, '\x53\xef'], [512, 'LABELONE'], [0, 'LABELONE'], [510, '\x55\xaa']), [
    'ext2',
    'LVM physical volume',
  ]);
});

test('hostile bytes at every place never throw, on disks of any size', async () => {
  const random = new TestRandom(7);
  for (let round = 0; round < 400; round += 1) {
    const size = 512 * (1 + (random.u32() % 5000));
    const bytes = new Uint8Array(size);
    for (const [, at, value] of CASES) {
      const place = at > LAST ? size - (SIZE - at) : at;
      for (let index = -8; index < value.length + 128; index += 1) {
        if (place + index >= 0 && place + index < size && random.u32() % 3 !== 0) bytes[place + index] = random.u32();
      }
      if (random.u32() % 4 === 0 && place >= 0 && place + value.length <= size)
        bytes.set(Buffer.from(value as string, 'latin1'), place);
    }
    const first = bytes.subarray(0, Math.min(MiB, size));
    const names = recognise({
      sizeBytes: size,
      first,
      last: bytes.subarray(size - first.length),
      lastOffset: size - first.length,
    });
    assert.ok(names.every((name) => name.length > 0 && name.length < 64));
  }
});

test('a disk smaller than a MiB, and one of an odd size, are looked at to their last sector', async () => {
  const { memory } = testWorld();
  for (const sectors of [1, 16, 2047, 2048, 2049, 6151]) {
    const disk = new MemoryDisk(memory, new Uint8Array(512 * sectors));
    assert.is(await findContent(disk, memory), null, `${sectors} sectors`);
    disk.bytes[512 * sectors - 1] = 1;
    assert.is((await inspectContent(disk, memory)).kind, 'unknown', `${sectors} sectors`);
  }
});

test.run();

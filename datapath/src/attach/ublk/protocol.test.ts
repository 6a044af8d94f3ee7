// The layouts of the kernel's ublk, byte by byte as its header has them (struct ublksrv_ctrl_dev_info, struct ublk_params).
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as p from './protocol.ts';

const GiB = 1024 ** 3;
const HASH = { low: 0x04030201, high: 0x08070605 };

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

test('a new device: one queue of 128, requests of 1 MiB, no id, the flags, the hash', () => {
  const bytes = p.encodeNewDevice({ depth: 128, maximumIoBytes: 1024 * 1024, hash: HASH });
  assert.is(
    hex(bytes),
    [
      '01008000', // nr_hw_queues, queue_depth
      '00000000', // state, padding
      '00001000', // max_io_buf_bytes
      'ffffffff', // dev_id
      'ffffffff', // ublksrv_pid
      '00000000', // padding
      '5c14000000000000', // flags: bits 2, 3, 4, 6, 10, 12
      '0102030405060708', // ublksrv_flags
      '0000000000000000', // owner
      '00000000000000000000000000000000', // reserved
    ].join(''),
  );
});

test('what the kernel says of a device', () => {
  const bytes = Buffer.from(
    '0100400002000000' +
      '00001000' +
      '07000000' +
      '67120000' +
      '00000000' +
      '5c14000000000000' +
      '0102030405060708' +
      '00'.repeat(24),
    'hex',
  );
  assert.equal(p.decodeDeviceInfo(bytes), { depth: 64, state: p.QUIESCED, deviceId: 7, pid: 4711, hash: HASH });
  assert.throws(() => p.decodeDeviceInfo(bytes.subarray(1)));
});

test('parameters of a device of 5 GiB with blocks of 4096 bytes that can trim', () => {
  const bytes = p.encodeParameters({
    sizeBytes: 5 * GiB,
    blockSizeBytes: 4096,
    maximumIoBytes: 1024 * 1024,
    isReadOnly: false,
    canTrim: true,
  });
  assert.is(
    hex(bytes),
    [
      '3c000000', // len
      '03000000', // types: basic, discard
      '0c000000', // attrs: volatile cache, FUA
      '0c0c0c0c', // shifts of the blocks
      '00080000', // max_sectors
      '00000000', // chunk_sectors
      '0000a00000000000', // dev_sectors
      '0000000000000000', // virt_boundary_mask
      '00000000', // discard_alignment
      '00100000', // discard_granularity
      '00002000', // max_discard_sectors
      '00002000', // max_write_zeroes_sectors
      '01000000', // max_discard_segments, reserved
    ].join(''),
  );
});

test('a size beyond 32 bits of sectors, blocks of 512 bytes, reading only', () => {
  const bytes = p.encodeParameters({
    sizeBytes: 2 ** 42 + 512,
    blockSizeBytes: 512,
    maximumIoBytes: 65536,
    isReadOnly: true,
    canTrim: true,
  });
  assert.is(hex(bytes.subarray(8, 32)), '0d000000' + '09090909' + '80000000' + '00000000' + '0100000002000000');
  assert.is(hex(bytes.subarray(48, 56)), '0000000000000000');
});

test('a device that cannot trim is told to zero only', () => {
  const bytes = p.encodeParameters({
    sizeBytes: GiB,
    blockSizeBytes: 4096,
    maximumIoBytes: 1024 * 1024,
    isReadOnly: false,
    canTrim: false,
  });
  assert.is(hex(bytes.subarray(44, 60)), '00100000' + '00000000' + '00002000' + '01000000');
});

test('missing features have names and versions', () => {
  assert.equal(p.missingFeatures(Buffer.from('fe1d000000000000', 'hex')), []);
  assert.equal(p.missingFeatures(Buffer.from('fe01000000000000', 'hex')), ['UPDATE_SIZE (Linux 6.16)', 'QUIESCE (Linux 6.16)']);
});

test('a hash is 64 bits of the digest', () => {
  assert.equal(p.hashOf('fffffffe00000001aaaa'), { low: 0xfffffffe, high: 1 });
  assert.ok(p.isSameHash(HASH, { ...HASH }));
  assert.not(p.isSameHash(HASH, { ...HASH, high: 0 }));
});

test.run();

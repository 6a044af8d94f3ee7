// What is formatted, what is used and what is left alone; and how large a filesystem says it is.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '@pureflash/datapath/base';
import { GiB, MiB } from '@pureflash/datapath/base';
import { planFilesystem, type DeviceFacts } from './filesystem-plan.ts';
import { filesystemBytes, isBlank } from './superblock.ts';
import { parseRecord } from './volume-record.ts';

const blank: DeviceFacts = {
  volumeId: 'v1',
  sizeBytes: GiB,
  signature: null,
  isHeadBlank: true,
  isWritten: false,
  wanted: null,
  unfinished: null,
  isReadOnly: false,
};

function plan(more: Partial<DeviceFacts>): string {
  try {
    const found = planFilesystem({ ...blank, ...more });
    return found.kind === 'use' ? `use ${found.fsType}` : `format ${found.fsType}${found.isOverwriting ? ' over' : ''}`;
  } catch (error) {
    return (error as PfError).code;
  }
}

test('the table of decisions', () => {
  const rows: readonly (readonly [Partial<DeviceFacts>, string])[] = [
    [{}, 'format ext4'],
    [{ wanted: 'xfs' }, 'format xfs'],
    [{ signature: 'xfs', isHeadBlank: false }, 'use xfs'],
    [{ signature: 'ext4', isHeadBlank: false, wanted: 'ext4' }, 'use ext4'],
    [{ signature: 'ext4', isHeadBlank: false, wanted: 'xfs' }, 'INVALID_STATE'],
    [{ signature: 'ext3', isHeadBlank: false, wanted: 'ext4' }, 'INVALID_STATE'],
    [{ signature: 'LVM2_member', isHeadBlank: true }, 'INVALID_STATE'],
    [{ signature: 'several' }, 'INVALID_STATE'],
    [{ isHeadBlank: false }, 'INVALID_STATE'],
    [{ isReadOnly: true }, 'INVALID_STATE'],
    // Used raw, with zeros where a superblock would be.
    [{ isWritten: true }, 'INVALID_STATE'],
    [{ isWritten: true, wanted: 'xfs' }, 'INVALID_STATE'],
    [{ isWritten: true, signature: 'ext4', isHeadBlank: false }, 'use ext4'],
    [{ isWritten: true, unfinished: 'ext4' }, 'format ext4 over'],
    [{ isReadOnly: true, signature: 'ext4', isHeadBlank: false }, 'use ext4'],
    [{ wanted: 'xfs', sizeBytes: 299 * MiB }, 'INVALID_ARGUMENT'],
    [{ wanted: 'xfs', sizeBytes: 300 * MiB }, 'format xfs'],
    // A mkfs of ours began under this attachment and did not end.
    [{ unfinished: 'ext4', isHeadBlank: false }, 'format ext4 over'],
    [{ unfinished: 'xfs', signature: 'xfs', isHeadBlank: false }, 'format xfs over'],
    [{ unfinished: 'xfs', signature: 'xfs', isHeadBlank: false, wanted: 'ext4' }, 'format ext4 over'],
    // Somebody else's is somebody else's.
    [{ unfinished: 'xfs', signature: 'ext4', isHeadBlank: false, wanted: 'xfs' }, 'INVALID_STATE'],
    [{ unfinished: 'ext4', signature: 'btrfs', isHeadBlank: false }, 'INVALID_STATE'],
  ];
  for (const [facts, wanted] of rows) assert.is(plan(facts), wanted, JSON.stringify(facts));
});

test('the size that a superblock tells', () => {
  const ext = new Uint8Array(4096);
  const view = new DataView(ext.buffer);
  assert.is(isBlank(ext), true);
  assert.is(filesystemBytes(ext, 'ext4'), null);
  view.setUint16(1024 + 0x38, 0xef53, true);
  view.setUint32(1024 + 0x04, 262_144, true);
  view.setUint32(1024 + 0x18, 2, true);
  assert.is(filesystemBytes(ext, 'ext4'), GiB);
  view.setUint32(1024 + 0x150, 1, true);
  assert.is(filesystemBytes(ext, 'ext4'), GiB, 'the high half counts with the 64-bit feature only');
  view.setUint32(1024 + 0x60, 0x80, true);
  assert.is(filesystemBytes(ext, 'ext4'), 2 ** 44 + GiB);
  assert.is(filesystemBytes(ext, 'xfs'), null);
  assert.is(isBlank(ext), false);

  const xfs = new Uint8Array(4096);
  xfs.set([0x58, 0x46, 0x53, 0x42, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 4, 0, 0]);
  assert.is(filesystemBytes(xfs, 'xfs'), GiB);
  assert.is(filesystemBytes(xfs.subarray(0, 512), 'xfs'), null);
});

test('a record that is not whole is no record', () => {
  const staged = { path: '/k/s', isBlock: false, options: ['noatime'], isReadOnly: true };
  const record = { attachment: 7, formatting: 'xfs', staged, readOnlyTargets: ['/k/t'] };
  const text = JSON.stringify({ version: 1, ...record });
  assert.equal(parseRecord(text), record);
  for (let end = 0; end < text.length; end += 1) assert.is(parseRecord(text.slice(0, end)), null);
  const broken: readonly object[] = [
    { version: 2 },
    { attachment: '7' },
    { attachment: 1.5 },
    { formatting: 'btrfs' },
    { staged: [] },
    { staged: { ...staged, path: 1 } },
    { staged: { ...staged, options: [1] } },
    { readOnlyTargets: null },
  ];
  for (const change of broken)
    assert.is(parseRecord(JSON.stringify({ version: 1, ...record, ...change })), null, JSON.stringify(change));
});

test.run();

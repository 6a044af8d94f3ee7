// The choice among devices, as a table: what is asked for, what the host has, what is taken and what is refused, with the reason.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { storeUuid } from '../../base/ids.ts';
import { select, type DeviceSelector, type Erasure, type SelectableDevice, type Selecting } from './select.ts';

const GB = 1_000_000_000;
const OURS = storeUuid('11111111-2222-4333-8444-555555555555');
const OTHER = storeUuid('99999999-2222-4333-8444-555555555555');

function device(name: string, more: Partial<SelectableDevice> = {}): SelectableDevice {
  return {
    path: `/dev/disk/by-id/ata-${name}`,
    name,
    links: [`/dev/disk/by-id/ata-${name}`, `/dev/disk/by-path/pci-${name}`],
    sizeBytes: 100 * GB,
    model: 'SAMSUNG MZ7',
    serial: `S-${name}`,
    isRotational: false,
    use: 'blank',
    usedBy: null,
    candidate: 'any',
    candidateReason: null,
    isInUse: false,
    error: null,
    storeUuid: null,
    ...more,
  };
}

const BLANK = device('sda');
const HDD = device('sdb', { model: 'WDC WD40', isRotational: true, sizeBytes: 4000 * GB });
const EXT4 = device('sdc', { use: 'foreign', usedBy: 'ext4' });
const MOUNTED = device('sdd', { use: 'foreign', usedBy: 'ext4, mounted on /', isInUse: true });
const STORE = device('sde', { use: 'store', usedBy: `store ${OURS}`, storeUuid: OURS });
const RUNNING = device('sdf', { use: 'store', usedBy: `store ${OURS}, open by another process`, storeUuid: OURS, isInUse: true });
const STRANGER = device('sdg', { use: 'store', usedBy: `store ${OTHER}`, storeUuid: OTHER });
const NO_SERIAL = device('vda', { path: '/dev/vda', links: [], serial: null, use: 'foreign', usedBy: 'XFS' });
const CD = device('sr0', { candidate: 'never', candidateReason: 'optical drive', use: 'foreign' });
const USB = device('sdh', { candidate: 'named', candidateReason: 'on USB: name it if you mean it' });
const BROKEN = device('sdi', {
  use: 'foreign',
  error: 'does not answer within 10000 ms',
  usedBy: 'does not answer within 10000 ms',
});
const ALL = [BLANK, HDD, EXT4, MOUNTED, STORE, RUNNING, NO_SERIAL, CD, USB, BROKEN];

const erasing = (of: SelectableDevice, confirmation: string, node = 'n1'): Erasure => ({ node, device: of.path, confirmation });

interface Case {
  readonly fact: string;
  readonly selector: DeviceSelector;
  readonly devices?: readonly SelectableDevice[];
  readonly more?: Partial<Selecting>;
  /** "sda blank". */
  readonly chosen: readonly string[];
  /** "DEVICE reason". */
  readonly refused?: readonly string[];
}

const CASES: readonly Case[] = [
  {
    fact: 'all unused: blank ones and those of the store; the rest in silence',
    selector: { allUnused: true },
    chosen: ['sda blank', 'sdb blank', 'sde store', 'sdf store'],
  },
  {
    fact: 'a path may be any name of a device',
    selector: { paths: ['/dev/sda', '/dev/disk/by-path/pci-sdb', '/dev/disk/by-id/ata-sde'] },
    chosen: ['sda blank', 'sdb blank', 'sde store'],
  },
  {
    fact: 'a device that is named twice is taken once',
    selector: { paths: ['/dev/sda', '/dev/disk/by-id/ata-sda'] },
    chosen: ['sda blank'],
  },
  {
    fact: 'by-id names are looked for in their folder',
    selector: { byId: ['ata-sda', 'ata-nothing'] },
    chosen: ['sda blank'],
    refused: ['ata-nothing missing'],
  },
  {
    fact: 'named and missing',
    selector: { paths: ['/dev/sdx', '/dev/sda1'] },
    chosen: [],
    refused: ['/dev/sdx missing', '/dev/sda1 missing'],
  },
  {
    fact: 'named but foreign, in use, unreadable, no candidate',
    selector: { paths: ['/dev/sdc', '/dev/sdd', '/dev/sdi', '/dev/sr0'] },
    chosen: [],
    refused: ['/dev/sdc foreign', '/dev/sdd in-use', '/dev/sdi unreadable', '/dev/sr0 not-a-candidate'],
  },
  { fact: 'what is a candidate only when named is taken when named', selector: { paths: ['/dev/sdh'] }, chosen: ['sdh blank'] },
  {
    fact: 'a foreign device is erased when its serial number confirms it',
    selector: { paths: ['/dev/sdc'] },
    more: { erase: [erasing(EXT4, 'S-sdc')] },
    chosen: ['sdc erase'],
  },
  {
    fact: 'a path does not confirm a device that has a serial number',
    selector: { paths: ['/dev/sdc'] },
    more: { erase: [erasing(EXT4, EXT4.path)] },
    chosen: [],
    refused: ['/dev/sdc not-confirmed'],
  },
  {
    fact: 'a device without a serial number is confirmed by its path',
    selector: { paths: ['/dev/vda'] },
    more: { erase: [erasing(NO_SERIAL, '/dev/vda')] },
    chosen: ['vda erase'],
  },
  {
    fact: 'a confirmation for another node does not count',
    selector: { paths: ['/dev/sdc'] },
    more: { erase: [erasing(EXT4, 'S-sdc', 'n2')] },
    chosen: [],
    refused: ['/dev/sdc foreign'],
  },
  {
    fact: 'what is in use or unreadable is not erased, confirmed or not',
    selector: { paths: ['/dev/sdd', '/dev/sdi'] },
    more: { erase: [erasing(MOUNTED, 'S-sdd'), erasing(BROKEN, 'S-sdi')] },
    chosen: [],
    refused: ['/dev/sdd in-use', '/dev/sdi unreadable'],
  },
  {
    fact: 'a blank disk and one of ours are never erased',
    selector: { paths: ['/dev/sda', '/dev/sde'] },
    more: { erase: [erasing(BLANK, 'S-sda'), erasing(STORE, 'S-sde')] },
    chosen: ['sda blank', 'sde store'],
  },
  {
    fact: 'all unused takes a foreign one that is confirmed, and says when the confirmation is wrong or of no use',
    selector: { allUnused: true },
    devices: [EXT4, NO_SERIAL, MOUNTED],
    more: { erase: [erasing(EXT4, 'S-sdc'), erasing(NO_SERIAL, 'x'), erasing(MOUNTED, 'S-sdd')] },
    chosen: ['sdc erase'],
    refused: ['/dev/vda not-confirmed', '/dev/disk/by-id/ata-sdd in-use'],
  },
  { fact: 'filter by model', selector: { filter: { model: '^SAMSUNG' } }, chosen: ['sda blank', 'sde store', 'sdf store'] },
  {
    fact: 'filter by size, both ends included',
    selector: { filter: { minSize: '4T', maxSize: 4_000_000_000_000 } },
    chosen: ['sdb blank'],
  },
  { fact: 'filter by binary size', selector: { filter: { minSize: '94Gi' } }, chosen: ['sdb blank'] },
  {
    fact: 'filter by rotation: all parts have to match',
    selector: { filter: { rotational: true, model: 'SAMSUNG' } },
    chosen: [],
  },
  {
    fact: 'a device that does not say whether it turns matches no wish about it',
    selector: { filter: { rotational: false } },
    devices: [device('sda', { isRotational: null })],
    chosen: [],
  },
  { fact: 'a bad expression is refused once', selector: { filter: { model: '(' } }, chosen: [], refused: ['filter bad-filter'] },
  {
    fact: 'a bad size is refused once',
    selector: { filter: { minSize: '1 apple' } },
    chosen: [],
    refused: ['filter bad-filter'],
  },
  {
    fact: "another store's disk: refused by name, silent for all, erased when confirmed",
    selector: { paths: ['/dev/sde', '/dev/sdg'] },
    devices: [STORE, STRANGER],
    more: { storeUuid: OURS },
    chosen: ['sde store'],
    refused: ['/dev/sdg other-store'],
  },
  {
    fact: "another store's disk is left out of all unused",
    selector: { allUnused: true },
    devices: [STORE, STRANGER],
    more: { storeUuid: OURS },
    chosen: ['sde store'],
  },
  {
    fact: "another store's disk is erased when confirmed",
    selector: { allUnused: true },
    devices: [STORE, STRANGER],
    more: { storeUuid: OURS, erase: [erasing(STRANGER, 'S-sdg')] },
    chosen: ['sde store', 'sdg erase'],
  },
  {
    fact: 'disks of several stores, none of them known: a person has to say which',
    selector: { allUnused: true },
    devices: [BLANK, STORE, STRANGER],
    chosen: ['sda blank'],
    refused: ['/dev/disk/by-id/ata-sde other-store', '/dev/disk/by-id/ata-sdg other-store'],
  },
  {
    fact: 'without a known store nothing of ours is erased, confirmed or not',
    selector: { paths: ['/dev/sdg'] },
    devices: [STRANGER],
    more: { erase: [erasing(STRANGER, 'S-sdg')] },
    chosen: ['sdg store'],
  },
  {
    fact: 'an override counts on its node',
    selector: { allUnused: true },
    more: {
      overrides: [
        { node: 'n2', skip: true },
        { node: 'n1', devices: { paths: ['/dev/sdb'] } },
      ],
    },
    chosen: ['sdb blank'],
  },
];

function nameOf(path: string): string {
  return [...ALL, STRANGER].find((each) => each.path === path)!.name;
}

for (const { fact, selector, devices = ALL, more, chosen, refused = [] } of CASES) {
  test(fact, () => {
    const selection = select({ node: 'n1', devices, selector, ...more });
    assert.is(selection.isSkipped, false);
    assert.equal(
      selection.chosen.map((each) => `${nameOf(each.path)} ${each.as}`),
      chosen,
    );
    assert.equal(
      selection.refused.map((each) => `${each.device} ${each.reason}`),
      refused,
    );
  });
}

test('a refusal says what is there and what to do', () => {
  const { refused } = select({ node: 'n1', devices: ALL, selector: { paths: ['/dev/sdc', '/dev/vda', '/dev/sdd'] } });
  assert.equal(
    refused.map(({ message }) => message),
    [
      '/dev/sdc: holds data (ext4): add an entry to erase with its serial number, "S-sdc", as confirmation if it may be erased',
      '/dev/vda: holds data (XFS): add an entry to erase with its path, "/dev/vda", as confirmation if it may be erased',
      '/dev/sdd: is in use (ext4, mounted on /): free it first; nothing in use is ever erased',
    ],
  );
});

test('files are taken as they are; a skipped node takes nothing', () => {
  const selector = { files: [{ path: '/var/lib/pf/a.img', size: '8Gi' }] };
  assert.equal(select({ node: 'n1', devices: ALL, selector }).chosen, [{ path: '/var/lib/pf/a.img', as: 'file', size: '8Gi' }]);
  assert.equal(select({ node: 'n1', devices: ALL, selector, overrides: [{ node: 'n1', skip: true }] }), {
    isSkipped: true,
    chosen: [],
    refused: [],
  });
});

test.run();

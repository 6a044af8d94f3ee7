// Lines of /proc/self/mountinfo as kernels write them, and text that no kernel writes.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import { parseMountinfo } from './mountinfo.ts';

test('a filesystem, a bind mount of a device node, a mount of a node with shared subtrees', () => {
  const text = [
    '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resuid=65534',
    '812 27 43:96 / /var/lib/kubelet/plugins/kubernetes.io/csi/csi.pureflash.io/5c2f/globalmount rw,noatime shared:410 - xfs /dev/nbd3 rw,nouuid,attr2',
    '813 24 0:6 /nbd3 /var/lib/kubelet/pods/2b/volumeDevices/x ro,nosuid shared:2 master:7 propagate_from:9 - devtmpfs devtmpfs rw,size=4k',
    '',
  ].join('\n');
  assert.equal(parseMountinfo(text), [
    {
      id: 27,
      parentId: 1,
      device: '254:0',
      root: '/',
      path: '/',
      isDeleted: false,
      options: ['rw', 'relatime'],
      propagation: [],
      fsType: 'ext4',
      source: '/dev/vda',
      superOptions: ['rw', 'discard', 'resuid=65534'],
    },
    {
      id: 812,
      parentId: 27,
      device: '43:96',
      root: '/',
      path: '/var/lib/kubelet/plugins/kubernetes.io/csi/csi.pureflash.io/5c2f/globalmount',
      isDeleted: false,
      options: ['rw', 'noatime'],
      propagation: ['shared:410'],
      fsType: 'xfs',
      source: '/dev/nbd3',
      superOptions: ['rw', 'nouuid', 'attr2'],
    },
    {
      id: 813,
      parentId: 24,
      device: '0:6',
      root: '/nbd3',
      path: '/var/lib/kubelet/pods/2b/volumeDevices/x',
      isDeleted: false,
      options: ['ro', 'nosuid'],
      propagation: ['shared:2', 'master:7', 'propagate_from:9'],
      fsType: 'devtmpfs',
      source: 'devtmpfs',
      superOptions: ['rw', 'size=4k'],
    },
  ]);
});

test('blanks, tabs, newlines and backslashes in names', () => {
  const [mount] = parseMountinfo('30 27 8:1 /a\\040b /mnt/tab\\011new\\012line\\134end\\043 rw - ext4 /dev/my\\040disk rw\n');
  assert.is(mount!.root, '/a b');
  assert.is(mount!.path, '/mnt/tab\tnew\nline\\end#');
  assert.is(mount!.source, '/dev/my disk');
  assert.is(parseMountinfo('30 27 8:1 / /mnt/\\0401 rw - ext4 x rw')[0]!.path, '/mnt/ 1');
  assert.is(
    parseMountinfo('30 27 8:1 / /mnt/ä\\134040 rw - ext4 x rw')[0]!.path,
    '/mnt/ä\\040',
    'what was escaped is not read twice',
  );
});

test('a bind mount whose source has been removed, and a source that is empty or a dash', () => {
  const [gone] = parseMountinfo('31 27 8:1 /pods/a//deleted /mnt/x rw master:1 - ext4 /dev/sda1 rw');
  assert.equal([gone!.root, gone!.isDeleted, gone!.path], ['/pods/a', true, '/mnt/x']);
  assert.is(parseMountinfo('31 27 0:9 / /mnt/x rw -  -  rw'.replace('-  -', '- tmpfs -').replace('-  ', '- '))[0]!.source, '-');
  assert.is(parseMountinfo('31 27 0:9 / /mnt/x rw - tmpfs  rw')[0]!.source, '');
});

test('what is no line of the kernel is refused and not guessed', () => {
  const lines = [
    'nonsense',
    '27 1 254:0 / / rw,relatime ext4 /dev/vda rw',
    '27 1 254:0 / / rw,relatime - ext4 /dev/vda',
    'x 1 254:0 / / rw - ext4 /dev/vda rw',
    '27 1 254 / / rw - ext4 /dev/vda rw',
    '27 1 254:0 / relative rw - ext4 /dev/vda rw',
    '27 - 254:0 / / rw - ext4 /dev/vda rw'.replace('27 -', '27 -1'),
    ' 27 1 254:0 / / rw - ext4 /dev/vda rw',
  ];
  for (const line of lines) assert.throws(() => parseMountinfo(`${line}\n`), /^cannot read the list of mounts: /, line);
  assert.throws(() => parseMountinfo('\n'.repeat(200_001)), /at most 200000 are read/);
});

test('the list of this machine is read whole', () => {
  const text = readFileSync('/proc/self/mountinfo', 'utf8');
  const mounts = parseMountinfo(text);
  assert.is(mounts.length, text.trimEnd().split('\n').length);
  assert.ok(mounts.some(({ path, fsType }) => path === '/proc' && fsType === 'proc'));
});

test('fuzz: any change to a good line is read or refused, and never anything else', () => {
  const good = '813 24 0:6 /nbd\\0403 /var/lib/x\\134y ro,nosuid shared:2 master:7 - devtmpfs dev\\011tmpfs rw,size=4k';
  const bytes = ' \\-:,/0178arw\n\t"\u0000é';
  let state = 12345;
  const next = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  let readable = 0;
  for (let round = 0; round < 20_000; round += 1) {
    let text = good;
    for (let change = next(4); change >= 0; change -= 1) {
      const at = next(text.length + 1);
      const cut = next(4);
      text = text.slice(0, at) + (next(2) === 0 ? bytes[next(bytes.length)]! : '') + text.slice(at + cut);
    }
    try {
      for (const mount of parseMountinfo(text)) {
        assert.ok(mount.path.startsWith('/') && /^\d+:\d+$/.test(mount.device) && mount.options.length > 0, text);
      }
      readable += 1;
    } catch (error) {
      assert.ok(error instanceof PfError && error.code === 'PROTOCOL_ERROR', `${text}: ${error}`);
    }
  }
  assert.ok(readable > 2000 && readable < 18_000, `${readable} of 20000 could be read`);
});

test.run();

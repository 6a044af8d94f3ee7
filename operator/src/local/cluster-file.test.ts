// The file that a user writes: what is taken, and how mistakes are said.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseClusterFile } from './cluster-file.ts';

const GOOD = `# A laboratory.
apiVersion: pureflash.io/v1alpha1
kind: StorageCluster
metadata:
  name: lab
spec:
  image: pureflash/pureflash:0.1.0
  stores:
    nodeSelector:
      storage.example/role: disks
    devices:
      files:
        - { path: /disk-1.img, size: 1Gi }
        - path: /disk-2.img
          size: 2Gi
`;

function mistakesIn(text: string, old = null as Parameters<typeof parseClusterFile>[2]): string {
  try {
    parseClusterFile('c.yaml', text, old ?? null);
  } catch (error) {
    return (error as Error).message;
  }
  return 'taken';
}

test('a good file gives the name, the spec with its defaults, and what else is in it', () => {
  const { name, spec, others } = parseClusterFile('c.yaml', `${GOOD}---\n---\nkind: Volume\nmetadata: { name: v1 }\n`);
  assert.is(name, 'lab');
  assert.equal([spec.ports.conductor, spec.stores.logLevel, spec.recovery.maxParallelPerStore], [49180, 'info', 4]);
  assert.equal(spec.stores.devices.files, [
    { path: '/disk-1.img', size: '1Gi' },
    { path: '/disk-2.img', size: '2Gi' },
  ]);
  assert.equal(others, ['Volume v1']);
});

test('every mistake has its line', () => {
  const table: readonly (readonly [string, string, string])[] = [
    ['  image: pureflash/pureflash:0.1.0\n', '', 'c.yaml:6: spec.image: Required value'],
    [
      'size: 2Gi',
      'size: 2 Gi',
      'c.yaml:15: spec.stores.devices.files[1].size: "2 Gi" does not match ^[1-9][0-9]{0,17}(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$',
    ],
    [
      '/disk-1.img',
      'disk-1.img',
      'c.yaml:13: spec.stores.devices.files[0].path: "disk-1.img" does not match ^/[^/\\x00]+(/[^/\\x00]+)*$',
    ],
    ['role: disks', 'role: 7', 'c.yaml:10: spec.stores.nodeSelector.storage.example/role: a text wanted, got 7'],
    ['/disk-2.img', '/disk-1.img', 'c.yaml:14: spec.stores.devices.files[1]: Duplicate value: "/disk-1.img"'],
    ['    devices', '    device: a\n    devices', 'c.yaml:11: spec.stores.device: there is no such field; known are '],
    ['v1alpha1', 'v1', 'c.yaml:2: apiVersion: "pureflash.io/v1alpha1" wanted, got "pureflash.io/v1"'],
    ['name: lab', 'name: Lab', 'c.yaml:5: metadata.name: metadata.name has to begin with a letter and have at most 63'],
    ['name: lab', 'name: 1ab', 'c.yaml:5: metadata.name: metadata.name has to begin with a letter'],
    ['name: lab', 'name: a.b', 'c.yaml:5: metadata.name: metadata.name has to begin with a letter'],
    ['name: lab', `name: ${'a'.repeat(64)}`, 'c.yaml:5: metadata.name: metadata.name has to begin with a letter'],
    ['  name: lab', '  labels: {}', 'c.yaml:4: metadata.name: a name such as "main" wanted'],
    ['kind: StorageCluster', 'kind: Cluster', 'c.yaml: one resource of the kind StorageCluster is wanted, and there are 0'],
    ['  image:', '  image: [', 'c.yaml:8: '],
    ['name: lab', 'name: *lab', 'c.yaml: cannot be read: '],
  ];
  for (const [from, to, message] of table) {
    const said = mistakesIn(GOOD.replace(from, to));
    assert.is(said.slice(0, message.length), message);
  }
});

test('all mistakes are said at once', () => {
  const text = GOOD.replace('size: 1Gi', 'size: x').replace('size: 2Gi', 'size: y');
  assert.is(mistakesIn(text).split('\n').length, 2);
});

test('a change is held to the rules of changes', () => {
  const { spec } = parseClusterFile('c.yaml', GOOD);
  assert.is(mistakesIn(GOOD, spec), 'taken');
  const moved = GOOD.replace('  stores:', '  ports:\n    conductor: 50000\n  stores:');
  assert.is(mistakesIn(moved, spec), 'c.yaml:8: spec.ports: ports cannot be changed after creation');
});

test('what is no text, or too much of it, is refused', () => {
  assert.match(mistakesIn(''), 'and there are 0');
  assert.match(mistakesIn('[1, 2]'), 'and there are 0');
  assert.match(mistakesIn(`${GOOD}---\n${GOOD}`), 'and there are 2');
  assert.match(mistakesIn('#'.repeat(1024 * 1024 + 1)), 'longer than 1048576 characters');
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${Array.from(
    { length: 8 },
    (_, i) =>
      `b${i}: &b${i} [${Array(10)
        .fill(i === 0 ? '*a' : `*b${i - 1}`)
        .join(',')}]`,
  ).join('\n')}\n`;
  assert.match(mistakesIn(bomb), 'c.yaml: ');
});

test('whatever bytes come, the answer is a sentence', () => {
  let seed = 7;
  const below = (limit: number): number => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed % limit;
  };
  for (let round = 0; round < 2000; round += 1) {
    const at = below(GOOD.length);
    const cut = below(12);
    const junk = Array.from({ length: below(6) }, () => String.fromCharCode(32 + below(95))).join('');
    const said = mistakesIn(GOOD.slice(0, at) + junk + GOOD.slice(at + cut));
    assert.ok(said === 'taken' || said.startsWith('c.yaml:'), said);
  }
});

test.run();

// Simulated hosts, and their paths, which stay in their folders.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { dataFolder, folderOf, pathOnHost, simulatedHosts } from './host-paths.ts';

test('hosts have names and addresses by their number', () => {
  assert.equal(simulatedHosts(2, '127.0.3'), [
    { name: 'host-1', address: '127.0.3.1' },
    { name: 'host-2', address: '127.0.3.2' },
  ]);
});

test('only loopback networks are taken', () => {
  for (const subnet of ['10.0.0', '127.0', '127.0.0.1', '127.0.256', '127.0.x'])
    assert.throws(() => simulatedHosts(1, subnet), /a loopback network are wanted/);
});

test('an absolute path of a host lies in its folder, and none leaves it', () => {
  const data = dataFolder('/d');
  assert.is(pathOnHost(data, 'host-1', '/var/lib/disk.img'), '/d/host-1/var/lib/disk.img');
  assert.is(folderOf('/d/host-1/var/lib/disk.img'), '/d/host-1/var/lib');
  for (const path of ['var', '/../x', '/a/../../x', '/a/./b', '/a/..'])
    assert.throws(() => pathOnHost(data, 'host-1', path), /cannot use the path/);
});

test.run();

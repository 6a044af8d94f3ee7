// The network contract on the real world, over io_uring and over libuv.
import { silentLogger } from '../log.ts';
import { networkContract } from '../testing/network-contract.ts';
import { openNodeWorld } from './node-world.ts';
import { makeTestFolder } from './test-folder.ts';

const newPath = makeTestFolder();
for (const ports of ['io_uring', 'libuv'] as const) {
  networkContract(ports, () => openNodeWorld({ ports, log: silentLogger }), newPath);
}

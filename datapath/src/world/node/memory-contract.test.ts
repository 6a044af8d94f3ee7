// The memory contract on the real world, over io_uring and over libuv.
import { silentLogger } from '../log.ts';
import { memoryContract } from '../testing/memory-contract.ts';
import { openNodeWorld } from './node-world.ts';

for (const ports of ['io_uring', 'libuv'] as const) {
  memoryContract(ports, () => openNodeWorld({ ports, log: silentLogger }));
}

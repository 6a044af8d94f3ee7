// The http contract on the real world, over io_uring and over libuv.
import { silentLogger } from '../log.ts';
import { httpContract } from '../testing/http-contract.ts';
import { openNodeWorld } from './node-world.ts';

for (const ports of ['io_uring', 'libuv'] as const) {
  httpContract(ports, () => openNodeWorld({ ports, log: silentLogger }));
}

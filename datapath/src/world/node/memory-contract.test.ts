// The memory contract on the real world; with PF_PORTS=libuv on libuv's side of it.
// ports: both
import { silentLogger } from '../log.ts';
import { memoryContract } from '../testing/memory-contract.ts';
import { openNodeWorld } from './node-world.ts';

memoryContract(process.env['PF_PORTS'] ?? 'auto', () => openNodeWorld({ log: silentLogger }));

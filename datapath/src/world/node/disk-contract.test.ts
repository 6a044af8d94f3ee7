// The disk contract on the real world; with PF_PORTS=libuv on libuv's side of it.
// ports: both
import { silentLogger } from '../log.ts';
import { diskContract } from '../testing/disk-contract.ts';
import { openNodeWorld } from './node-world.ts';
import { makeTestFolder } from './test-folder.ts';

diskContract(process.env['PF_PORTS'] ?? 'auto', () => openNodeWorld({ log: silentLogger }), makeTestFolder());

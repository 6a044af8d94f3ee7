// The files contract on the real world; with PF_PORTS=libuv on libuv's side of it.
// ports: both
import { silentLogger } from '../log.ts';
import { filesContract } from '../testing/files-contract.ts';
import { openNodeWorld } from './node-world.ts';
import { makeTestFolder } from './test-folder.ts';

filesContract(process.env['PF_PORTS'] ?? 'auto', () => openNodeWorld({ log: silentLogger }), makeTestFolder());

// The network contract on the real world; with PF_PORTS=libuv on libuv's side of it.
// ports: both
import { silentLogger } from '../log.ts';
import { networkContract } from '../testing/network-contract.ts';
import { openNodeWorld } from './node-world.ts';
import { makeTestFolder } from './test-folder.ts';

networkContract(process.env['PF_PORTS'] ?? 'auto', () => openNodeWorld({ log: silentLogger }), makeTestFolder());

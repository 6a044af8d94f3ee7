// The http contract on the real world; with PF_PORTS=libuv on libuv's side of it.
// ports: both
import { silentLogger } from '../log.ts';
import { httpContract } from '../testing/http-contract.ts';
import { openNodeWorld } from './node-world.ts';

httpContract(process.env['PF_PORTS'] ?? 'auto', () => openNodeWorld({ log: silentLogger }));

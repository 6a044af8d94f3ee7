// A manager for tests, to be killed: manager.ts FOLDER REPORT NAME... It starts a service a name, and writes their process ids.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import { ServiceSet } from '../service-set.ts';
import { define } from '../testing/daemon-rig.ts';

const [folder = '', report = '', ...names] = process.argv.slice(2);
const world = await openNodeWorld({ log: silentLogger, ports: process.env['PF_PORTS'] === 'io_uring' ? 'io_uring' : 'libuv', memoryBytes: 32 * 1024 * 1024 });
const set = await ServiceSet.open(world, { runFolder: join(folder, 'run'), logFolder: join(folder, 'log'), orphans: 'stop' });
await set.manageAll(names.map((name) => define(name)));
writeFileSync(report, `${JSON.stringify(Object.fromEntries(names.map((name) => [name, set.get(name)!.pid])))}\n`);
setTimeout(() => process.exit(9), 60_000);

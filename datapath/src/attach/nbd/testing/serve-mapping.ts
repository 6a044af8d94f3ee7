// A process that maps a file as an NBD device and serves it, told what to do by lines on its standard input: a stand-in for pfnbd that a
// test can kill. Answers one line of JSON each.
//   usage: serve-mapping.ts FOLDER NAME FILE SIZE [connections [timeoutS]]
//   map | adopt | resize SIZE | unmap | handOver | reap PREFIX | stall MILLISECONDS (from the next request on) | exit
import { createInterface } from 'node:readline';
import { PfError, errorCodeOf, formatErrorChain } from '../../../base/errors.ts';
import { DiskDevice } from '../../../block/disk-device.ts';
import { openNodeWorld } from '../../../world/index.ts';
import type { Mapping } from '../../mapper.ts';
import { NbdMapper } from '../nbd-mapper.ts';
import { GrowingDevice } from './growing-device.ts';

const [folder, name, file, size, connections, timeoutS] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
  string?,
];
const world = await openNodeWorld({ memoryBytes: 64 * 1024 * 1024 });
const disk = await world.disks.open(file, { isExclusive: false });
const device = new GrowingDevice(new DiskDevice(world.memory, disk), Number(size));
const mapper = await NbdMapper.open(world, {
  folder,
  connections: Number(connections ?? 1),
  timeoutS: Number(timeoutS ?? 0),
});
let mapping: Mapping | null = null;

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function mapped(): Mapping {
  if (mapping === null) throw new PfError('INVALID_STATE', 'nothing is mapped');
  return mapping;
}

async function obey(command: string, argument: string | undefined): Promise<object> {
  if (command === 'map') mapping = await mapper.map({ name, device });
  else if (command === 'adopt') mapping = await mapper.adopt({ name, device });
  else if (command === 'unmap') await mapped().unmap();
  else if (command === 'handOver') await mapped().handOver();
  else if (command === 'reap') return { removed: await mapper.reap(argument ?? '', new Set()) };
  else if (command === 'resize') {
    device.grow(Number(argument));
    await mapped().resize();
  } else if (command === 'stall') {
    device.hold(() => world.clock.after(Number(argument), () => device.release()));
  } else if (command === 'exit') {
    await mapper.close();
    await world.close();
    process.exit(0);
  }
  return { devicePath: mapping?.devicePath ?? null, sizeBytes: mapping?.sizeBytes ?? 0 };
}

say({ ready: true, ports: world.ports, unavailable: await mapper.unavailable() });
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.trim().split(' ');
  const startedMs = performance.now();
  const answer = await obey(command ?? '', argument).catch((error: unknown) => ({
    error: errorCodeOf(error),
    message: formatErrorChain(error),
  }));
  say({ command, ms: Math.round(performance.now() - startedMs), ...answer });
}

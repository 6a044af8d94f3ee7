// A process that serves one mapping over a file, so that a test may kill it: serve-mapping.ts KIND FOLDER NAME FILE SIZE.
// It takes over what is there, or maps anew; says "mapped PATH SIZE" or "adopted PATH SIZE" on its standard output; then does what lines
// on its standard input say ("handover", "unmap") and ends with "done".
import { createInterface } from 'node:readline';
import { DiskDevice } from '../../block/disk-device.ts';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import { openMapper, type MapperKind } from './open-mapper.ts';

const [kind, folder, name, file, sizeBytes] = process.argv.slice(2) as [MapperKind, string, string, string, string];
const world = await openNodeWorld({ log: silentLogger, memoryBytes: 64 * 1024 * 1024 });
const device = new DiskDevice(world.memory, await world.disks.open(file, { createSizeBytes: Number(sizeBytes) }));
const mapper = await openMapper(kind, world, folder);
const adopted = await mapper.adopt({ name, device });
const mapping = adopted ?? (await mapper.map({ name, device }));
console.log(`${adopted === null ? 'mapped' : 'adopted'} ${mapping.devicePath} ${mapping.sizeBytes}`);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'handover') await mapping.handOver();
  if (line === 'unmap') await mapping.unmap();
  break;
}
await mapper.close();
await device.close();
await world.close();
console.log('done');

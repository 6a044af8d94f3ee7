// What ublk-contract.test.ts runs inside the guest about a BlockDevice that does not answer: a hand-over leaves its request to the next server,
// an unmap fails it. Tells what was seen as one line of JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { UblkMapper } from '../../datapath/src/attach/ublk/ublk-mapper.ts';
import type { BlockRequest } from '../../datapath/src/block/device.ts';
import { MemoryDevice } from '../../datapath/src/block/memory-device.ts';
import { silentLogger } from '../../datapath/src/world/log.ts';
import { openNodeWorld } from '../../datapath/src/world/node/node-world.ts';

const MiB = 1024 * 1024;
const DRAIN_MS = 500;

/** Answers nothing while it is told so. */
class StuckDevice extends MemoryDevice {
  isStuck = false;
  readonly kept: BlockRequest[] = [];

  override submit(request: BlockRequest): void {
    if (this.isStuck) this.kept.push(request);
    else super.submit(request);
  }
}

async function dd(...args: string[]): Promise<number> {
  const [status] = (await once(spawn('dd', args, { stdio: 'ignore' }), 'close')) as [number];
  return status;
}

const world = await openNodeWorld({ log: silentLogger, memoryBytes: 96 * MiB });
const device = new StuckDevice(world.memory, { sizeBytes: 64 * MiB });
const mapper = await UblkMapper.open(world, { folder: '/tmp/records', drainMs: DRAIN_MS });

/** Until the device keeps a request. */
async function kept(): Promise<void> {
  while (device.kept.length === 0) await world.clock.sleep(5);
}

async function timed(action: Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await action;
  return Math.round(performance.now() - startedMs);
}

/** Too late for everybody. */
function answerKept(): void {
  for (const request of device.kept.splice(0)) request.finish(0);
}

const first = await mapper.map({ name: 'v1', device });
device.isStuck = true;
const writing = dd('if=/dev/zero', `of=${first.devicePath}`, 'bs=64k', 'count=4', 'oflag=direct', 'conv=notrunc');
await kept();
const handOverMs = await timed(first.handOver());
device.isStuck = false;
const second = await mapper.adopt({ name: 'v1', device });
const writer = await writing;
answerKept();
device.isStuck = true;
const reading = dd(`if=${second!.devicePath}`, 'of=/dev/null', 'bs=64k', 'count=1', 'iflag=direct');
await kept();
const unmapMs = await timed(second!.unmap());
const reader = await reading;
answerKept();
console.log(JSON.stringify({ stuck: true, handOverMs, writer, unmapMs, reader }));
await mapper.close();
await world.close();

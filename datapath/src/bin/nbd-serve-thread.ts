// A further thread of nbd-serve, started by nbd-serve-threads.ts: says "ready", serves until it is told "stop".
import { parentPort, workerData } from 'node:worker_threads';
import { openBlockSource } from '../cli/block-sources.ts';
import { serveNbd } from '../nbd/index.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import type { ThreadOrder } from './nbd-serve-threads.ts';

const { source, exportName, isReadOnly, busyPollUs, shared, sharedListener } = workerData as ThreadOrder;
const port = parentPort!;
const world = await openNodeWorld({ busyPollUs });
const { device } = await openBlockSource(world, source, { isReadOnly, shared });
const server = await serveNbd(world, { sharedListener, exports: [{ name: exportName, device }] });
port.once('message', () => void stop());
port.postMessage('ready');

async function stop(): Promise<void> {
  await server.close();
  await device.close();
  await world.close();
  port.close();
}

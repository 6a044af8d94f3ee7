// A worker thread with a world of its own: echoes on a TCP port that it posts to its parent.
import { parentPort } from 'node:worker_threads';
import { silentLogger } from '../../log.ts';
import { openNodeWorld } from '../node-world.ts';

const world = await openNodeWorld({ log: silentLogger, memoryBytes: 16 * 1024 * 1024 });
const listener = await world.network.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, (stream) => {
  stream.handler = {
    onBytes: (offset, length) => void world.memory.bytes.copyWithin(stream.reserve(length), offset, offset + length),
    onDirect() {},
    onClosed() {},
  };
});
if (listener.address.kind === 'tcp') parentPort!.postMessage(listener.address.port);

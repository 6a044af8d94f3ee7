// The real world as a whole: which ports it chooses, that Node's own work goes on beside a busy ring, several worlds in one
// process, and that a program ends when it has nothing left to do.
// needs: io_uring
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Completion } from '../completion.ts';
import { silentLogger } from '../log.ts';
import type { Disk } from '../disk.ts';
import type { Stream } from '../network.ts';
import { RecordingHandler, answer, codeOf, connectPair, eventually } from '../testing/contract-world.ts';
import type { World } from '../world.ts';
import { openNodeWorld } from './node-world.ts';
import { makeTestFolder } from './test-folder.ts';

const newPath = makeTestFolder();
const LOOPBACK = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
const BOTH = ['io_uring', 'libuv'] as const;
const worlds: World[] = [];
const workers: Worker[] = [];

/** Worlds and workers of a test are ended after it, so that a test that fails does not keep the process. */
async function open(ports: 'io_uring' | 'libuv'): Promise<World> {
  const world = await openNodeWorld({ ports, log: silentLogger });
  worlds.push(world);
  return world;
}

function start(worker: Worker): Worker {
  workers.push(worker);
  return worker;
}

test.after.each(async () => {
  for (const world of worlds.splice(0)) await world.close();
  for (const worker of workers.splice(0)) await worker.terminate();
});

/** Runs a program in a process of its own: what it printed, and how it ended. */
function runProgram(body: string, environment: Record<string, string> = {}): { status: number | null; output: string } {
  const module = new URL('./node-world.ts', import.meta.url).href;
  const program = `import { openNodeWorld } from ${JSON.stringify(module)};\n${body}`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 15_000,
    env: { ...process.env, ...environment },
  });
  return { status: result.status, output: result.stdout + result.stderr };
}

/** A stream that answers each message with a message: the ring is never idle. */
class PingPong {
  stream: Stream | null = null;
  turns = 0;
  isStopped = false;

  onBytes(_offset: number, length: number): void {
    this.turns += 1;
    if (!this.isStopped) this.stream!.reserve(length);
  }
  onDirect(): void {}
  onClosed(): void {}
}

class EndlessReads implements Completion {
  count = 0;
  isStopped = false;
  isDone = false;
  readonly #disk: Disk;
  readonly #slot: number;

  constructor(disk: Disk, slot: number) {
    this.#disk = disk;
    this.#slot = slot;
  }

  complete(result: number): void {
    assert.is(result, 0);
    this.count += 1;
    if (this.isStopped) this.isDone = true;
    else this.#disk.read((this.count % 256) * 4096, this.#slot, 4096, this);
  }
}

for (const ports of BOTH) {
  test(`timers, HTTP and files make progress while streams and disks are never idle (${ports})`, async () => {
    const world = await open(ports);
    assert.is(world.ports, ports);
    const [here, there] = [new PingPong(), new PingPong()];
    const pair = await connectPair(world, { kind: 'unix', path: newPath('busy.sock') }, here, there);
    here.stream = pair.client;
    there.stream = pair.server;
    pair.client.reserve(32);
    const disk = await world.disks.open(newPath('disk'), { createSizeBytes: 1 << 20 });
    const reads = Array.from({ length: 8 }, () => new EndlessReads(disk, world.memory.acquireSlot(4096)));
    for (const read of reads) read.complete(0);
    const server = await world.http.serve('127.0.0.1', 0, async (request) => ({
      status: 200,
      contentType: 'text/plain',
      body: request.body,
    }));
    let ticks = 0;
    const timer = world.clock.every(2, () => (ticks += 1));
    const started = world.clock.now();
    for (let round = 0; round < 50; round += 1) {
      const body = new Uint8Array(round + 1);
      const call = { method: 'POST', host: '127.0.0.1', port: server.port, target: '/', body, timeoutMs: 2000 } as const;
      assert.is((await world.http.request(call)).body.length, round + 1);
      assert.ok((await readFile('/proc/self/stat')).length > 0);
      await world.files.replace(newPath('small'), body);
      await new Promise((resolve) => setImmediate(resolve));
      await world.clock.sleep(1);
    }
    assert.ok(world.clock.now() - started < 10_000, 'fifty rounds of ordinary work are not held up');
    assert.ok(ticks >= 20, `${ticks} ticks`);
    assert.ok(here.turns > 100 && reads.every((read) => read.count > 50), `${here.turns} turns, ${reads[0]!.count} reads`);
    timer.cancel();
    here.isStopped = there.isStopped = true;
    for (const read of reads) read.isStopped = true;
    await eventually(world, 'all reads are answered', () => reads.every((read) => read.isDone));
    await world.close();
  });

  test(`five thousand requests in one turn are all answered (${ports})`, async () => {
    const world = await open(ports);
    const disk = await world.disks.open(newPath('disk'), { createSizeBytes: 1 << 20 });
    const slot = world.memory.acquireSlot(4096);
    const results = await Promise.all(
      Array.from({ length: 5000 }, (_, index) => answer((done) => disk.read((index % 256) * 4096, slot, 4096, done))),
    );
    assert.is(results.filter((result) => result === 0).length, 5000);
    await world.close();
  });

  test(`connecting to a peer whose backlog is full is TIMEOUT (${ports})`, async () => {
    const isStuck = new Int32Array(new SharedArrayBuffer(4));
    const worker = start(
      new Worker(
        `const { parentPort, workerData: isStuck } = require('node:worker_threads');
       const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
         parentPort.postMessage(server.address().port);
         setImmediate(() => {
           Atomics.store(isStuck, 0, 1);
           Atomics.wait(isStuck, 0, 1, 20000);
         });
       });`,
        { eval: true, workerData: isStuck },
      ),
    );
    const [port] = (await once(worker, 'message')) as [number];
    const world = await open(ports);
    await eventually(world, 'the server accepts nothing any more', () => Atomics.load(isStuck, 0) === 1);
    const codes = await Promise.all(
      Array.from({ length: 8 }, () =>
        codeOf(world.network.connect({ kind: 'tcp', host: '127.0.0.1', port }, 300).then((stream) => stream.destroy())),
      ),
    );
    assert.ok(codes.includes('TIMEOUT'), codes.join(', '));
    assert.equal(
      codes.filter((code) => code !== 'TIMEOUT' && code !== 'nothing'),
      [],
    );
    await world.close();
  });

  test(`a unix socket that nobody serves any more is replaced; a plain file is not (${ports})`, async () => {
    const path = newPath('stale.sock');
    const left = spawnSync(process.execPath, [
      '-e',
      `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`,
    ]);
    assert.is(left.signal, 'SIGKILL');
    const world = await open(ports);
    const pair = await connectPair(world, { kind: 'unix', path }, new RecordingHandler(world), new RecordingHandler(world));
    await pair.listener.close();
    const file = newPath('plain');
    await world.files.replace(file, new Uint8Array(1));
    assert.is(await codeOf(world.network.listen({ kind: 'unix', path: file }, () => {})), 'ALREADY_EXISTS');
    const long = { kind: 'unix', path: newPath('x'.repeat(100)) } as const;
    assert.is(await codeOf(world.network.listen(long, () => {})), 'INVALID_ARGUMENT');
    assert.is(await codeOf(world.network.connect(long, 1000)), 'INVALID_ARGUMENT');
    await world.close();
  });

  test(`a connection that its peer resets ends with CONNECTION_LOST (${ports})`, async () => {
    const world = await open(ports);
    const server = createServer((socket) => socket.once('data', () => socket.resetAndDestroy())).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const stream = await world.network.connect({ ...LOOPBACK, port: (server.address() as { port: number }).port }, 1000);
    const handler = new RecordingHandler(world);
    stream.handler = handler;
    stream.writeBytes(new Uint8Array(10));
    await eventually(world, 'the stream is closed', () => handler.isClosed);
    assert.is(handler.closedWith?.code, 'CONNECTION_LOST');
    server.close();
    await world.close();
  });

  test(`closing a world in the middle of traffic completes everything (${ports})`, async () => {
    const world = await open(ports);
    const [here, there] = [new PingPong(), new PingPong()];
    const pair = await connectPair(world, LOOPBACK, here, there);
    here.stream = pair.client;
    there.stream = pair.server;
    pair.client.reserve(1000);
    await eventually(world, 'there is traffic', () => here.turns > 10);
    const results: number[] = [];
    pair.client.writeOwned(world.memory.acquireSlot(4096), 4096, { complete: (result) => results.push(result) });
    await world.close();
    await world.close();
    assert.is(results.length, 1);
  });

  test(`a program ends by itself once its world is closed, and with an idle world (${ports})`, () => {
    const traffic = `
      const world = await openNodeWorld({ ports: '${ports}' });
      const listener = await world.network.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, (stream) => {
        stream.handler = { onBytes(offset, length) { stream.reserve(length); }, onDirect() {}, onClosed() {} };
      });
      const stream = await world.network.connect(listener.address, 1000);
      await new Promise((resolve) => {
        stream.handler = { onBytes: resolve, onDirect() {}, onClosed() {} };
        stream.writeBytes(new Uint8Array(5));
      });
      await world.close();
      console.log('done');`;
    assert.equal(runProgram(traffic), { status: 0, output: 'done\n' });
    assert.equal(runProgram(`await openNodeWorld({ ports: '${ports}' }); console.log('idle');`), { status: 0, output: 'idle\n' });
  });

  test(`a program with a listener stays, and an exception in a handler ends it (${ports})`, () => {
    const body = `
      const world = await openNodeWorld({ ports: '${ports}' });
      const listener = await world.network.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, (stream) => {
        stream.handler = { onBytes() { throw new Error('a bug'); }, onDirect() {}, onClosed() {} };
      });
      setTimeout(async () => (await import('node:net')).connect(listener.address.port).write('x'), 200).unref();`;
    const { status, output } = runProgram(body);
    assert.is(status, 1);
    assert.match(output, 'Error: a bug');
  });
}

test('two worlds in one thread and one in a worker work side by side on rings', async () => {
  const [first, second] = [await open('io_uring'), await open('io_uring')];
  const worker = start(new Worker(new URL('./testdata/echo-worker.ts', import.meta.url)));
  const [port] = (await once(worker, 'message')) as [number];
  const echo = await second.network.listen(LOOPBACK, (stream) => {
    stream.handler = {
      onBytes: (offset, length) => void second.memory.bytes.copyWithin(stream.reserve(length), offset, offset + length),
      onDirect() {},
      onClosed() {},
    };
  });
  for (const address of [echo.address, { ...LOOPBACK, port }]) {
    const handler = new RecordingHandler(first);
    const stream = await first.network.connect(address, 1000);
    stream.handler = handler;
    stream.writeBytes(new Uint8Array([0xff, 0xff, 0xff]));
    await eventually(first, 'the echo came', () => handler.receivedBytes === 3);
    stream.destroy();
  }
  await second.close();
  await first.close();
});

test('a worker that is terminated while its ring waits ends at once', async () => {
  const worker = start(new Worker(new URL('./testdata/echo-worker.ts', import.meta.url)));
  await once(worker, 'message');
  const started = performance.now();
  await worker.terminate();
  assert.ok(performance.now() - started < 2000);
});

test('PF_PORTS decides where the program does not; what cannot be had is said', () => {
  const print = `const world = await openNodeWorld(); console.log(world.ports); await world.close();`;
  assert.is(runProgram(print, { PF_PORTS: 'libuv' }).output, 'libuv\n');
  assert.is(runProgram(print, { PF_PORTS: 'io_uring' }).output, 'io_uring\n');
  const without = runProgram(print, { PF_PORTS: 'auto', PF_ADDON: '/nonexistent/pureflash.node' });
  assert.match(without.output, /"level":"warn","message":"io_uring cannot be used: .*go through libuv/);
  assert.match(without.output, /\nlibuv\n$|^libuv\n/);
  const explicit = `await openNodeWorld({ ports: 'io_uring' }).catch((error) => console.log(error.code));`;
  assert.is(runProgram(explicit, { PF_ADDON: '/nonexistent/pureflash.node' }).output, 'UNSUPPORTED\n');
});

test('without the addon, locks are files that name their owner', () => {
  const path = newPath('locked');
  const body = `
    const world = await openNodeWorld({ ports: 'libuv' });
    const held = await world.files.lock(${JSON.stringify(path)});
    console.log(await world.files.lock(${JSON.stringify(path)}).catch((error) => error.code));
    console.log(await world.disks.open(${JSON.stringify(`${path}-disk`)}, { createSizeBytes: 8192 }).then((disk) => disk.sizeBytes));
    console.log(await world.disks.open(${JSON.stringify(`${path}-disk`)}, {}).catch((error) => error.code));
    process.kill(process.pid, 9);`;
  const environment = { PF_ADDON: '/nonexistent/pureflash.node' };
  assert.is(runProgram(body, environment).output, 'INVALID_STATE\n8192\nINVALID_STATE\n');
  assert.is(runProgram(body, environment).output, 'INVALID_STATE\n8192\nINVALID_STATE\n', 'a dead owner does not hold its lock');
});

test.run();

// The mapper on a machine in memory: what it does, and that dying before or after any of its calls leaves nothing that the next process
// cannot take over or remove.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodeOf } from '../../base/errors.ts';
import { MemoryDevice } from '../../block/memory-device.ts';
import type { Mapping } from '../mapper.ts';
import { NbdMapper, type NbdMapperOptions } from './nbd-mapper.ts';
import { GrowingDevice } from './testing/growing-device.ts';
import { MemoryMachine, type Crash, type MemoryProcess } from './testing/memory-machine.ts';

const MiB = 1024 * 1024;
const FOLDER = '/var/lib/records';
const NAME = 'c1.vol-1';

/** One process with its mapper, and the device that it serves. */
class Server {
  readonly process: MemoryProcess;
  readonly machine: MemoryMachine;
  readonly device: GrowingDevice;
  mapper!: NbdMapper;

  constructor(machine: MemoryMachine, crash: Crash | null = null) {
    this.machine = machine;
    this.process = machine.start(crash);
    this.device = new GrowingDevice(new MemoryDevice(machine.memory, { sizeBytes: 8 * MiB }), 4 * MiB);
  }

  async open(options: Partial<NbdMapperOptions> = {}): Promise<this> {
    this.mapper = await this.run(NbdMapper.open(this.process.world, { folder: FOLDER, ...options }));
    return this;
  }

  /** Never resolves once the process is dead. */
  async run<T>(promise: Promise<T>): Promise<T> {
    const result = await this.machine.time.run(promise);
    if (result !== 'died') return result;
    if (this.process.isAlive) throw new Error('nothing happens any more');
    return new Promise<never>(() => {});
  }

  map(name = NAME): Promise<Mapping> {
    return this.run(this.mapper.map({ name, device: this.device }));
  }

  adopt(name = NAME): Promise<Mapping | null> {
    return this.run(this.mapper.adopt({ name, device: this.device }));
  }

  reap(prefix: string, ...known: string[]): Promise<readonly string[]> {
    return this.run(this.mapper.reap(prefix, new Set(known)));
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing',
    (error: unknown) => errorCodeOf(error),
  );
}

function assertNothingLeft(machine: MemoryMachine, when: string): void {
  assert.equal([...machine.nbd.devices.keys()], [], `${when}: devices are left`);
  assert.equal([...machine.files.keys()], [], `${when}: files are left`);
}

test('map() connects a device of the size, tunes its queue, and unmap() leaves nothing', async () => {
  const machine = new MemoryMachine();
  const server = await new Server(machine).open();
  const mapping = await server.map();
  assert.is(mapping.devicePath, '/dev/nbd0');
  assert.is(mapping.sizeBytes, 4 * MiB);
  assert.is(machine.nbd.devices.get(0)!.backend, NAME);
  assert.is(machine.nbd.liveSlots(0), 1);
  assert.equal([...machine.files.keys()], [`${FOLDER}/${NAME}.json`]);
  assert.equal(Object.fromEntries(machine.attributes), {
    '/sys/block/nbd0/queue/scheduler': 'none',
    '/sys/block/nbd0/queue/max_sectors_kb': '1024',
    '/sys/block/nbd0/queue/read_ahead_kb': '1024',
    '/sys/block/nbd0/queue/nr_requests': '128',
    '/sys/block/nbd0/queue/io_timeout': '2000',
  });
  await server.run(mapping.unmap());
  assertNothingLeft(machine, 'after unmap()');
  const other = await server.map('c1.vol-2');
  assert.is(other.devicePath, '/dev/nbd0');
  await server.run(mapping.unmap());
  assert.is(machine.nbd.devices.get(0)!.backend, 'c1.vol-2');
  await server.run(other.unmap());
  await server.run(server.mapper.close());
});

test('a device that somebody else has taken from us is neither mended nor disconnected', async () => {
  const machine = new MemoryMachine();
  const server = await new Server(machine).open();
  const mapping = await server.map();
  machine.nbd.devices.set(0, { ...machine.nbd.devices.get(0)!, backend: 'stranger', slots: [null] });
  machine.nbd.killSocket(0, 0);
  await server.run(server.process.world.clock.sleep(5000));
  assert.is(machine.nbd.liveSlots(0), 0);
  await server.run(mapping.unmap());
  assert.is(machine.nbd.devices.get(0)!.backend, 'stranger');
  assert.equal([...machine.files.keys()], []);
});

test('a name is mapped once, and the next device gets the next index', async () => {
  const machine = new MemoryMachine();
  const server = await new Server(machine).open();
  await server.map();
  assert.is(await codeOf(server.map()), 'ALREADY_EXISTS');
  assert.is((await server.map('c1.vol-2')).devicePath, '/dev/nbd1');
  assert.is(await codeOf(server.adopt()), 'INVALID_STATE');
  assert.is(await codeOf(server.map('../x')), 'INVALID_ARGUMENT');
});

test('options that lose requests are refused', async () => {
  const { world } = new MemoryMachine().start();
  const open = (options: Partial<NbdMapperOptions>): Promise<string> =>
    codeOf(NbdMapper.open(world, { folder: FOLDER, ...options }));
  assert.is(await open({ connections: 2 }), 'INVALID_ARGUMENT');
  assert.is(await open({ connections: 0 }), 'INVALID_ARGUMENT');
  assert.is(await open({ connections: 17, timeoutS: 30 }), 'INVALID_ARGUMENT');
  assert.is(await open({ timeoutS: 600 }), 'INVALID_ARGUMENT');
  const { kernel, ...without } = world;
  assert.ok(kernel);
  assert.is(await codeOf(NbdMapper.open(without, { folder: FOLDER })), 'UNSUPPORTED');
});

test('unavailable() says what is missing', async () => {
  const machine = new MemoryMachine();
  const server = await new Server(machine).open();
  assert.is(await server.run(server.mapper.unavailable()), null);
  machine.rights = '00000000a80425fb';
  assert.match((await server.run(server.mapper.unavailable()))!, 'CAP_SYS_ADMIN');
  const bare = new MemoryMachine();
  bare.nbd.isLoaded = false;
  const other = await new Server(bare).open();
  assert.match((await other.run(other.mapper.unavailable()))!, 'modprobe nbd nbds_max=0 max_part=0');
});

test('a mounted device stays, and goes on being served', async () => {
  const machine = new MemoryMachine();
  const server = await new Server(machine).open();
  const mapping = await server.map();
  machine.nbd.mounted.add(0);
  assert.is(await codeOf(server.run(mapping.unmap())), 'INVALID_STATE');
  assert.is(machine.nbd.liveSlots(0), 1);
  machine.nbd.mounted.clear();
  machine.nbd.killSocket(0, 0);
  await server.run(server.process.world.clock.sleep(1000));
  assert.is(machine.nbd.liveSlots(0), 1);
  await server.run(mapping.unmap());
  assertNothingLeft(machine, 'after unmap()');
});

test('a socket that the kernel gives up is replaced', async () => {
  const machine = new MemoryMachine();
  const server = await new Server(machine).open({ connections: 2, timeoutS: 30 });
  const mapping = await server.map();
  for (const slot of [1, 0, 0]) {
    machine.nbd.killSocket(0, slot);
    assert.is(machine.nbd.liveSlots(0), 1);
    await server.run(server.process.world.clock.sleep(1000));
    assert.is(machine.nbd.liveSlots(0), 2);
  }
  await server.run(mapping.unmap());
  assertNothingLeft(machine, 'after unmap()');
});

test('resize() takes the new size over, never a smaller one, and not while a socket is dead', async () => {
  const machine = new MemoryMachine();
  const server = await new Server(machine).open();
  const mapping = await server.map();
  await server.run(mapping.resize());
  assert.equal(machine.nbd.resizes, []);
  server.device.grow(6 * MiB);
  await server.run(mapping.resize());
  assert.is(mapping.sizeBytes, 6 * MiB);
  assert.equal(machine.nbd.resizes, [`${6 * MiB}`]);
  server.device.grow(5 * MiB);
  await server.run(mapping.resize());
  assert.equal(machine.nbd.resizes, [`${6 * MiB}`]);
  server.device.grow(8 * MiB);
  server.device.hold(() => {});
  assert.is(await codeOf(server.run(mapping.resize())), 'NOT_READY');
  server.device.release();
  machine.nbd.killSocket(0, 0);
  const code = await codeOf(server.run(mapping.resize()));
  assert.ok(code === 'nothing' || code === 'NOT_READY', code);
});

test('a map() that the kernel refuses leaves no record, and the name is free', async () => {
  const machine = new MemoryMachine();
  const server = await new Server(machine).open();
  server.device.grow(0);
  assert.is(await codeOf(server.map()), 'INVALID_ARGUMENT');
  assertNothingLeft(machine, 'after a refused map()');
  server.device.grow(MiB);
  assert.is((await server.map()).sizeBytes, MiB);
});

test('a killed process: the next one adopts with the size that the kernel has', async () => {
  const machine = new MemoryMachine();
  const first = await new Server(machine).open();
  await first.map();
  first.process.kill();
  assert.is(machine.nbd.liveSlots(0), 0);
  const next = await new Server(machine).open();
  next.device.grow(8 * MiB);
  const adopted = (await next.adopt())!;
  assert.is(adopted.sizeBytes, 4 * MiB);
  assert.is(machine.nbd.liveSlots(0), 1);
  await next.run(adopted.resize());
  assert.is(adopted.sizeBytes, 8 * MiB);
  assert.is(await next.adopt('c1.other'), null);
  await next.run(adopted.unmap());
  assertNothingLeft(machine, 'after unmap()');
});

test('a damaged record takes no device away: the kernel knows its name, and where it does not, the device waits for a person', async () => {
  const owner = { pid: 'none', startTicks: 1, bootId: 'b' };
  const wrong = { version: 1, name: NAME, state: 'SERVING', index: 0, connections: 1, owner };
  for (const text of ['', '{', 'null', '7', JSON.stringify(wrong), JSON.stringify({ ...wrong, name: 'c1.vol-2' })]) {
    const machine = new MemoryMachine();
    const first = await new Server(machine).open();
    await first.map();
    first.process.kill();
    machine.files.set(`${FOLDER}/${NAME}.json`, new TextEncoder().encode(text));
    machine.nbd.mounted.add(0);
    const next = await new Server(machine).open();
    assert.equal(await next.run(next.mapper.names('c1.')), [NAME]);
    const adopted = (await next.adopt())!;
    assert.equal([adopted.devicePath, machine.nbd.liveSlots(0)], ['/dev/nbd0', 1], text);
    machine.nbd.mounted.clear();
    await next.run(adopted.unmap());
    assertNothingLeft(machine, text);
  }
  const old = new MemoryMachine();
  old.nbd.knowsBackends = false;
  const first = await new Server(old).open();
  await first.map();
  first.process.kill();
  old.files.set(`${FOLDER}/${NAME}.json`, new Uint8Array(0));
  const next = await new Server(old).open();
  const refused = await next.adopt().catch((error: unknown) => error);
  assert.is(errorCodeOf(refused), 'CORRUPT');
  assert.match(
    (refused as Error).message,
    /look for its device in \/sys\/block .*unmount that, disconnect it .*and remove the file/,
  );
  assert.equal([await next.reap(''), old.nbd.devices.size, old.files.size], [[], 1, 1]);
  const gone = new MemoryMachine();
  gone.files.set(`${FOLDER}/${NAME}.json`, new Uint8Array(0));
  const last = await new Server(gone).open();
  assert.is(await last.adopt(), null);
  assertNothingLeft(gone, 'without a device');
});

test('adopt() waits for the process before; one that stays is named', async () => {
  const machine = new MemoryMachine();
  const first = await new Server(machine).open();
  await first.map();
  const next = await new Server(machine).open();
  const refused = await next.adopt().catch((error: unknown) => error);
  assert.is(errorCodeOf(refused), 'INVALID_STATE');
  assert.match((refused as Error).message, `process ${first.process.pid}`);
  const adopting = next.mapper.adopt({ name: NAME, device: next.device });
  next.process.world.clock.after(5000, () => first.process.kill());
  assert.is((await next.run(adopting))!.devicePath, '/dev/nbd0');
});

test('handOver() leaves the device to the next process, which need not wait', async () => {
  const machine = new MemoryMachine();
  const first = await new Server(machine).open();
  const mapping = await first.map();
  await first.run(mapping.handOver());
  assert.is(machine.nbd.liveSlots(0), 0);
  const next = await new Server(machine).open();
  const adopted = (await next.adopt())!;
  assert.is(machine.nbd.liveSlots(0), 1);
  await next.run(adopted.unmap());
  assertNothingLeft(machine, 'after unmap()');
});

test('reap() removes what nobody knows, and neither what is known, in use, served elsewhere nor of another prefix', async () => {
  const machine = new MemoryMachine();
  const dead = await new Server(machine).open();
  for (const name of ['c1.a', 'c1.known', 'c1.mounted', 'c2.a']) await dead.map(name);
  dead.process.kill();
  const living = await new Server(machine).open();
  await living.map('c1.served');
  machine.nbd.mounted.add(2);
  const server = await new Server(machine).open();
  const own = await server.map('c1.own');
  assert.equal(await server.reap('c1.', 'c1.known'), ['c1.a']);
  const backends = [...machine.nbd.devices.values()].map((device) => device.backend);
  assert.equal(backends, ['c1.known', 'c1.mounted', 'c2.a', 'c1.served', 'c1.own']);
  assert.is(own.devicePath, '/dev/nbd5');
});

test('a lost folder: the kernel still knows the names', async () => {
  const machine = new MemoryMachine();
  const first = await new Server(machine).open();
  await first.map();
  await first.map('c1.vol-2');
  first.process.kill();
  machine.files.clear();
  const next = await new Server(machine).open();
  assert.ok(await next.adopt());
  assert.equal(await next.reap('c1.'), ['c1.vol-2']);
});

test('a device that somebody else has disconnected and connected anew is not ours', async () => {
  const machine = new MemoryMachine();
  const first = await new Server(machine).open();
  await first.map();
  first.process.kill();
  machine.nbd.devices.set(0, { ...machine.nbd.devices.get(0)!, backend: 'stranger' });
  const next = await new Server(machine).open();
  assert.is(await next.adopt(), null);
  assert.equal([...machine.files.keys()], []);
  assert.is(machine.nbd.devices.get(0)!.backend, 'stranger');
});

/** A life of two processes and what must be true of the device for the second one. */
interface Life {
  readonly name: string;
  readonly connections: number;
  readonly isOldKernel?: boolean;
  /** Until the crash. */
  readonly first: (server: Server) => Promise<unknown>;
  /** Before the process that dies. */
  readonly prepare?: (machine: MemoryMachine) => Promise<void>;
  /** The device must be there for adopt(), wherever the first one died. */
  readonly mustSurvive: boolean;
}

async function mapAndDie(machine: MemoryMachine): Promise<void> {
  const server = await new Server(machine).open();
  await server.map();
  server.process.kill();
}

const LIVES: readonly Life[] = [
  { name: 'map', connections: 1, first: (server) => server.map(), mustSurvive: false },
  { name: 'map with two sockets', connections: 2, first: (server) => server.map(), mustSurvive: false },
  { name: 'map on an old kernel', connections: 1, isOldKernel: true, first: (server) => server.map(), mustSurvive: false },
  {
    name: 'adopt',
    connections: 1,

    prepare: mapAndDie,
    first: (server) => server.adopt(),
    mustSurvive: true,
  },
  {
    name: 'adopt on an old kernel',
    connections: 1,
    isOldKernel: true,
    prepare: mapAndDie,
    first: (server) => server.adopt(),
    mustSurvive: true,
  },
  {
    name: 'adopt, grow, hand over',
    connections: 1,

    prepare: mapAndDie,
    first: async (server) => {
      const mapping = (await server.adopt())!;
      server.device.grow(8 * MiB);
      await server.run(mapping.resize());
      await server.run(mapping.handOver());
    },
    mustSurvive: true,
  },
  {
    name: 'adopt, unmap on an old kernel',
    connections: 1,
    isOldKernel: true,
    prepare: mapAndDie,
    first: async (server) => server.run((await server.adopt())!.unmap()),
    mustSurvive: false,
  },
  {
    name: 'adopt, unmap',
    connections: 1,

    prepare: mapAndDie,
    first: async (server) => server.run((await server.adopt())!.unmap()),
    mustSurvive: false,
  },
  { name: 'reap', connections: 1, prepare: mapAndDie, first: (server) => server.reap('c1.'), mustSurvive: false },
];

/** How many calls the life's first process makes when nothing kills it. */
async function callsOf(life: Life): Promise<number> {
  const { server } = await live(life, null);
  return server.process.callCount;
}

async function live(life: Life, crash: Crash | null): Promise<{ machine: MemoryMachine; server: Server }> {
  const machine = new MemoryMachine();
  machine.nbd.knowsBackends = life.isOldKernel !== true;
  await life.prepare?.(machine);
  const server = new Server(machine, crash);
  const first = async (): Promise<unknown> => life.first(await server.open(optionsOf(life)));
  await machine.time.run(Promise.resolve().then(first));
  return { machine, server };
}

function optionsOf(life: Life): Partial<NbdMapperOptions> {
  return life.connections === 1 ? {} : { connections: life.connections, timeoutS: 30 };
}

for (const life of LIVES) {
  for (const ending of ['adopt', 'reap'] as const) {
    test(`${life.name}: dying around any call, then ${ending}, leaks nothing`, async () => {
      const calls = await callsOf(life);
      assert.ok(calls >= 10, `${calls} calls`);
      for (let atCall = 1; atCall <= calls; atCall += 1) {
        for (const when of ['before', 'after'] as const) {
          const { machine, server } = await live(life, { atCall, when });
          server.process.kill();
          const story = `died ${when} call ${atCall} of ${calls}`;
          const next = await new Server(machine).open(optionsOf(life));
          if (ending === 'reap') {
            await next.reap('c1.');
          } else {
            const adopted = await next.adopt();
            assert.ok(adopted !== null || !life.mustSurvive, `${story}: the device is lost`);
            if (adopted !== null) {
              assert.is(machine.nbd.liveSlots(0), life.connections, story);
              await next.run(adopted.unmap());
            }
          }
          assertNothingLeft(machine, story);
        }
      }
    });
  }
}

test.run();

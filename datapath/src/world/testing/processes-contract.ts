// What every processes port does, on real processes: /bin/sh and sleep are all that it needs.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatExit, type Child, type ExitStatus } from '../processes.ts';
import type { World } from '../world.ts';
import { codeOf, eventually, inWorld, type NewPath, type OpenWorld } from './contract-world.ts';

export function processesContract(name: string, openWorld: OpenWorld, newPath: NewPath): void {
  const test = suite(`processes: ${name}`);
  const check = (fact: string, body: (world: World, path: string) => Promise<void>): void => {
    test(
      fact,
      inWorld(openWorld, async (world) => {
        // Detached and adopted children keep no program alive: the clock does, until the test is over.
        const timer = world.clock.every(1000, () => {});
        await body(world, newPath('log')).finally(() => timer.cancel());
      }),
    );
  };
  check('a child tells how it ended, and its output is in the log', ending);
  check('a program that does not exist fails to start', missingProgram);
  check('identify() knows a living process, and no ended one', identifying);
  check('a zombie has ended', zombies);
  check('a name with spaces and parentheses does not hide the identity', oddNames);
  check('adopt() gives a handle that signals and sees the end', adopting);
  check('adopt() refuses another start time, another boot and an ended process', refusing);
  check('an adopted process that has ended is not signalled', endedAdopted);
  check('endGroup() ends the grandchildren of a detached child', grandchildren);
  check('a log over its size is renamed at the next start', rotating);
  test.run();
}

function shell(world: World, logPath: string, script: string, ...args: string[]): Promise<Child> {
  return world.processes.spawn('/bin/sh', ['-c', script, 'sh', ...args], { logPath, isDetached: true });
}

async function textOf(world: World, path: string): Promise<string> {
  return new TextDecoder().decode((await world.files.read(path)) ?? new Uint8Array(0));
}

/** The number that a script wrote as its first line. */
async function printedNumber(world: World, path: string): Promise<number> {
  for (const deadline = world.clock.now() + 10_000; world.clock.now() < deadline; await world.clock.sleep(2)) {
    const text = await textOf(world, path);
    if (text.includes('\n')) return Number(text.split('\n')[0]);
  }
  throw new Error(`nothing in ${path}`);
}

async function ended(child: Child): Promise<ExitStatus> {
  child.signal('SIGKILL');
  return child.exited;
}

async function ending(world: World, path: string): Promise<void> {
  const child = await shell(world, path, 'echo "hello $NAME"; exit 3');
  assert.equal(await child.exited, { code: 3, signal: null });
  const second = await world.processes.spawn('/bin/sh', ['-c', 'echo "hello $NAME"; kill -TERM $$'], {
    logPath: path,
    environment: { NAME: 'you' },
  });
  assert.equal(await second.exited, { code: null, signal: 'SIGTERM' });
  assert.is(await textOf(world, path), 'hello \nhello you\n');
  assert.equal([formatExit({ code: 3, signal: null }), formatExit({ code: null, signal: 'SIGTERM' })], ['exit 3', 'SIGTERM']);
}

async function missingProgram(world: World, path: string): Promise<void> {
  assert.is(await codeOf(world.processes.spawn('/nonexistent/program', [], { logPath: path })), 'NOT_FOUND');
}

async function identifying(world: World, path: string): Promise<void> {
  const child = await shell(world, path, 'exec sleep 60');
  assert.equal(await world.processes.identify(child.pid), child.identity);
  assert.is(child.identity.pid, child.pid);
  child.signal('SIGSTOP');
  assert.equal(await world.processes.identify(child.pid), child.identity, 'a stopped process lives');
  await ended(child);
  assert.is(await world.processes.identify(child.pid), null);
  for (const pid of [0, -1, 1.5, 2 ** 40]) assert.is(await world.processes.identify(pid), null);
}

async function zombies(world: World, path: string): Promise<void> {
  // The shell becomes a sleep, which never asks for the end of the child that it has inherited.
  const parent = await shell(world, path, 'read line < "$1" & echo $!; exec sleep 60', (await newFifo(world, path)).path);
  const pid = await printedNumber(world, path);
  const identity = await world.processes.identify(pid);
  assert.is.not(identity, null);
  const handle = await world.processes.adopt(identity!);
  handle!.signal('SIGKILL');
  assert.equal(await handle!.exited, { code: null, signal: null });
  assert.is(await world.processes.identify(pid), null);
  assert.is(await world.processes.adopt(identity!), null);
  await ended(parent);
}

async function newFifo(world: World, path: string): Promise<{ path: string }> {
  const fifo = `${path}.fifo`;
  const maker = await shell(world, `${path}.fifo-log`, 'mkfifo "$1"', fifo);
  assert.equal(await maker.exited, { code: 0, signal: null });
  return { path: fifo };
}

async function oddNames(world: World, path: string): Promise<void> {
  const odd = `${path}) R 1 (x`;
  const child = await shell(world, path, 'ln -s "$(command -v sleep)" "$1"; echo ready; exec "$1" 60', odd);
  await eventuallyNamed(world, child.pid, path);
  assert.equal(await world.processes.identify(child.pid), child.identity);
  await ended(child);
}

/** Until /proc shows the name that is meant to confuse; where there is no such file the name cannot confuse either. */
async function eventuallyNamed(world: World, pid: number, path: string): Promise<void> {
  const deadline = world.clock.now() + 10_000;
  while (!(await textOf(world, `/proc/${pid}/stat`)).includes(') R 1 (x)')) {
    if (world.clock.now() > deadline) throw new Error(`process ${pid} has not taken its odd name: ${await textOf(world, path)}`);
    await world.clock.sleep(2);
  }
}

async function adopting(world: World, path: string): Promise<void> {
  const child = await shell(world, path, 'trap "exit 0" TERM; echo 1; while :; do sleep 0.02; done');
  await printedNumber(world, path);
  const adopted = (await world.processes.adopt(child.identity))!;
  assert.equal(adopted.identity, child.identity);
  adopted.signal('SIGTERM');
  assert.equal(await adopted.exited, { code: null, signal: null });
  assert.equal(await child.exited, { code: 0, signal: null });
}

async function refusing(world: World, path: string): Promise<void> {
  const child = await shell(world, path, 'exec sleep 60');
  const { identity } = child;
  assert.is(await world.processes.adopt({ ...identity, startTicks: identity.startTicks - 1 }), null);
  assert.is(await world.processes.adopt({ ...identity, bootId: '00000000-0000-4000-8000-000000000000' }), null);
  assert.is.not(await world.processes.adopt(identity), null);
  await ended(child);
  assert.is(await world.processes.adopt(identity), null);
}

async function endedAdopted(world: World, path: string): Promise<void> {
  const child = await shell(world, path, 'exec sleep 60');
  const adopted = (await world.processes.adopt(child.identity))!;
  await ended(child);
  adopted.signal('SIGTERM');
  adopted.endGroup();
  assert.equal(await adopted.exited, { code: null, signal: null });
}

async function grandchildren(world: World, path: string): Promise<void> {
  const child = await shell(world, path, 'sleep 60 & echo $!; exit 0');
  await child.exited;
  const pid = await printedNumber(world, path);
  const grandchild = (await world.processes.adopt((await world.processes.identify(pid))!))!;
  child.endGroup();
  let isOver = false;
  void grandchild.exited.then(() => (isOver = true));
  await eventually(world, 'the grandchild has ended', () => isOver);
}

async function rotating(world: World, path: string): Promise<void> {
  for (const word of ['one', 'two', 'three']) {
    const options = { logPath: path, rotateLogAtBytes: 8 };
    await (
      await world.processes.spawn('/bin/echo', [word], options)
    ).exited;
  }
  assert.is(await textOf(world, `${path}.1`), 'one\ntwo\n');
  assert.is(await textOf(world, path), 'three\n');
}

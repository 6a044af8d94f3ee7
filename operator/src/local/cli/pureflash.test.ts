// deadline: 300s
// needs: nbdinfo
// The `pureflash` command with real daemons: up, deaths of daemons and of the supervisor, changes while it runs, down.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, '../../../..');
const PUREFLASH = join(ROOT, 'operator/bin/pureflash');
const SUBNET = `127.${64 + (process.pid % 128)}.${(process.pid >> 7) % 256}`;
const CONDUCTOR = `${SUBNET}.1:49180`;
const INSTANCES = ['conductor/0', 'front/v1', 'store/host-1', 'store/host-2', 'store/host-3'];
const PATIENCE_MS = 45_000;

// Short: the sockets in it have short paths only.
const folder = mkdtempSync(join(tmpdir(), 'pf-'));
const data = join(folder, 'data');
const file = join(folder, 'cluster.yaml');
const socket = join(data, 'v1.sock');

interface Instance {
  readonly name: string;
  readonly isOnline: boolean;
  readonly pid: number | null;
  readonly restarts: number | null;
  readonly isCurrent: boolean | null;
}

interface Status {
  readonly supervisor: { readonly pid: number; readonly phase: string } | null;
  readonly instances: readonly Instance[];
  readonly control: { readonly stores: readonly { readonly isOnline: boolean }[]; readonly degradedCount: number } | null;
}

interface Outcome {
  readonly code: number;
  readonly output: string;
}

/** A `pureflash up` that runs beside the test. */
class Up {
  readonly child: ChildProcess;
  output = '';

  constructor(...flags: readonly string[]) {
    this.child = spawn(PUREFLASH, ['up', '-f', file, '--data', data, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.on('data', (piece: Buffer) => (this.output += piece.toString()));
  }

  async says(what: string | RegExp): Promise<void> {
    const has = (): boolean => (typeof what === 'string' ? this.output.includes(what) : what.test(this.output));
    await until(`up says ${what}; it said:\n${this.output}`, () => has() || null);
  }

  /** Returns the exit code, or the name of the signal. */
  async ended(signal: NodeJS.Signals): Promise<number | string> {
    const { exitCode, signalCode } = this.child;
    if (exitCode !== null || signalCode !== null) return exitCode ?? signalCode!;
    const exited = new Promise<number | string>((done) => this.child.once('exit', (code, name) => done(code ?? name!)));
    this.child.kill(signal);
    return exited;
  }
}

const ups: Up[] = [];

function startUp(...flags: readonly string[]): Up {
  const up = new Up(...flags);
  ups.push(up);
  return up;
}

async function pureflash(...words: readonly string[]): Promise<Outcome> {
  return run(PUREFLASH, [...words, '--data', data]).then(
    ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, output: error.stdout + error.stderr }),
  );
}

async function status(): Promise<Status> {
  return JSON.parse((await pureflash('status', '--json')).output) as Status;
}

async function until<T>(what: string, probe: () => Promise<T | null> | T | null): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await probe();
    if (found !== null) return found;
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms in vain until ${what}`);
    await sleep(100);
  }
}

async function allOnline(): Promise<Status> {
  return until('everything is online', async () => {
    const found = await status();
    const stores = found.control?.stores.filter((store) => store.isOnline).length ?? 0;
    return stores === 3 && found.instances.length === 5 && found.instances.every((each) => each.isOnline) ? found : null;
  });
}

const pidsOf = ({ instances }: Status): Record<string, number | null> =>
  Object.fromEntries(instances.map(({ name, pid }) => [name, pid]));

function write(storeLevel: string, rest = ''): void {
  writeFileSync(
    file,
    `apiVersion: pureflash.io/v1alpha1
kind: StorageCluster
metadata:
  name: lab
spec:
  image: pureflash/pureflash:0.1.0
  stores:
    logLevel: ${storeLevel}
    devices:
      files:
        - path: /var/lib/pureflash/disk.img
          size: 1Gi
${rest}`,
  );
}

async function isServed(): Promise<void> {
  const { stdout } = await run('nbdinfo', ['--size', `nbd+unix:///?socket=${socket}`]);
  assert.is(stdout.trim(), '268435456');
}

function daemonPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`${data}/`);
      } catch {
        return false; // Ended meanwhile.
      }
    })
    .map(Number)
    .filter((pid) => pid !== process.pid);
}

test.after(() => {
  for (const { child } of ups) child.kill('SIGKILL');
  for (const pid of daemonPids()) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

test('a file with mistakes is refused with file, line and what is wanted, and starts nothing', async () => {
  write('loud');
  const { code, output } = await pureflash('up', '-f', file);
  assert.is(code, 64);
  assert.is(
    output,
    `pureflash: ${file}:8: spec.stores.logLevel: Unsupported value: "loud": supported values: "debug", "info", "warn", "error"\n`,
  );
  assert.equal(daemonPids(), []);
});

test('a cluster comes up, and a volume is served as soon as it exists', async () => {
  write('info');
  const up = startUp('--subnet', SUBNET, '--serve', 'v1');
  await up.says('Ready: conductors and stores are online');
  await up.says('waiting for the creation of v1');
  const create = ['create_volume', '-v', 'v1', '-s', '256M', '--rep', '3', '--conductor', CONDUCTOR];
  await run(join(ROOT, 'datapath/bin/pfcli'), create);
  const found = await allOnline();
  assert.equal(
    found.instances.map((each) => each.name),
    INSTANCES,
  );
  assert.is(found.supervisor?.pid, up.child.pid);
  await isServed();
  assert.equal(readdirSync(join(data, 'host-2/var/lib/pureflash')), ['disk.img']);
});

test('a second `up` on the same folder is refused by name', async () => {
  const { code, output } = await pureflash('up', '-f', file);
  assert.is(code, 65);
  assert.match(output, `cannot use ${data}: "pureflash up" (process ${ups.at(-1)!.child.pid}) runs there`);
});

test('a store that is killed is started again, and the volume becomes whole again', async () => {
  const before = pidsOf(await status());
  process.kill(before['store/host-2']!, 'SIGKILL');
  const after = await until('store/host-2 is back and the volume whole', async () => {
    const found = await status();
    const store = found.instances.find((each) => each.name === 'store/host-2');
    return store?.isOnline && store.pid !== before['store/host-2'] && found.control?.degradedCount === 0 ? found : null;
  });
  assert.is(after.instances.find((each) => each.name === 'store/host-2')!.restarts, 1);
  await ups.at(-1)!.says('store/host-2     ended by itself (SIGKILL); it is started again');
  await isServed();
});

test('after kill -9 of `up` the daemons serve on, and the next one adopts the same processes', async () => {
  await allOnline();
  const before = pidsOf(await status());
  assert.is(await ups.at(-1)!.ended('SIGKILL'), 'SIGKILL');
  await isServed();
  const alone = await status();
  assert.is(alone.supervisor, null);
  assert.equal(pidsOf(alone), before);
  const up = startUp();
  await up.says('Ready: conductors and stores are online');
  const adopted = await allOnline();
  assert.equal(pidsOf(adopted), before);
  assert.ok(adopted.instances.every((each) => each.restarts === 0 && each.isCurrent === true));
});

test('an `up` that finds the conductor dead starts it, and leaves everything else alone', async () => {
  const before = pidsOf(await status());
  await ups.at(-1)!.ended('SIGKILL');
  process.kill(before['conductor/0']!, 'SIGKILL');
  const up = startUp();
  await up.says('Ready: conductors and stores are online');
  const { 'conductor/0': conductor, ...others } = pidsOf(await allOnline());
  const { 'conductor/0': killed, ...untouched } = before;
  assert.is.not(conductor, killed);
  assert.equal(others, untouched);
  await isServed();
});

test('an edit of the file is applied while the daemons run; a wrong one is said and changes nothing', async () => {
  const before = pidsOf(await status());
  const up = ups.at(-1)!;
  write('loud');
  await up.says(`${file}:8: spec.stores.logLevel: Unsupported value: "loud"`);
  write('debug', '  recovery:\n    maxParallelPerStore: 2\n');
  for (const host of [1, 2, 3]) await up.says(new RegExp(`store/host-${host} +took over the new settings while it runs`));
  const log = await pureflash('logs', 'store/host-1', '-n', '200');
  assert.match(log.output, '"message":"the configuration was changed","changed":["recoveryParallel","logLevel"]');
  const after = await allOnline();
  assert.equal(pidsOf(after), before);
  assert.ok(after.instances.every((each) => each.isCurrent === true));
});

test('Ctrl-C with --keep leaves the daemons; one that is asked for a restart restarts store by store', async () => {
  const before = pidsOf(await status());
  await ups.at(-1)!.ended('SIGKILL');
  const kept = startUp('--keep');
  await kept.says('Ready: conductors and stores are online');
  assert.is(await kept.ended('SIGINT'), 0);
  assert.match(kept.output, 'the daemons run on');
  assert.equal(pidsOf(await status()), before);
  write('debug', '  recovery:\n    maxParallelPerStore: 2\n  security:\n    legacyClients: true\n');
  const up = startUp();
  const after = await until('every store was restarted', async () => {
    const found = await status();
    const stores = found.instances.filter((each) => each.name.startsWith('store/'));
    const isDone = stores.every((each) => each.isOnline && each.pid !== before[each.name]) && found.supervisor?.phase === 'Ready';
    return isDone ? found : null;
  });
  assert.is(pidsOf(after)['conductor/0'], before['conductor/0']);
  assert.is(pidsOf(after)['front/v1'], before['front/v1']);
  assert.match(
    up.output,
    /to be restarted: the stores on host-1, host-2, host-3[\s\S]*to be restarted: the stores on host-2, host-3[\s\S]*to be restarted: the stores on host-3\n/,
  );
  await isServed();
});

test('`down` ends `up` and leaves no process; the data stays', async () => {
  const up = ups.at(-1)!;
  const exited = new Promise((done) => up.child.once('exit', done));
  assert.is((await pureflash('down')).code, 0);
  assert.is(await exited, 0);
  assert.equal(daemonPids(), []);
  const found = await status();
  assert.equal([found.supervisor, found.control], [null, null]);
  assert.ok(found.instances.every((each) => !each.isOnline && each.pid === null));
  for (const host of [1, 2, 3]) assert.ok(existsSync(join(data, `host-${host}/var/lib/pureflash/disk.img`)));
});

test('what was stopped comes up again with its data, and Ctrl-C stops it in order', async () => {
  const up = startUp();
  await up.says('Ready: conductors and stores are online');
  await allOnline();
  await isServed();
  assert.is(await up.ended('SIGINT'), 0);
  assert.match(up.output, `stopped; the data stays in ${data}`);
  assert.equal(daemonPids(), []);
});

test.run();

// What kernel-nbd.test.ts runs inside the guest: the life of a mapped device on a real kernel, told as one line of JSON per fact on
// standard output. It ends with status 1 at the first thing that goes wrong, and says what.
//   usage: kernel-nbd-guest.ts [long]
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { MappingProcess, type MappingProcessOptions } from './mapping-process.ts';

const MiB = 1024 * 1024;
const isLong = process.argv.includes('long');
const startedMs = performance.now();
const options: MappingProcessOptions = {
  folder: '/tmp/records',
  name: 'cluster.volume-1',
  file: '/tmp/disk',
  sizeBytes: 128 * MiB,
};
const MOUNT = '/tmp/mounted';
/** One for all loads: three of the long ones do not fit beside each other. */
const LOAD_FILE = `${MOUNT}/load`;

function tell(fact: string, seen: object = {}): void {
  console.log(JSON.stringify({ fact, atMs: Math.round(performance.now() - startedMs), ...seen }));
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function attribute(name: string): string | null {
  try {
    return readFileSync(`/sys/block/nbd0/${name}`, 'utf8').trim();
  } catch {
    return null; // The device does not have it now.
  }
}

/** Until the device has done so many more writes: the load is under way. */
async function writesDone(count: number): Promise<void> {
  const writes = (): number => Number(attribute('stat')!.split(/\s+/)[4]);
  const wanted = writes() + count;
  while (writes() < wanted) await new Promise((resolve) => setTimeout(resolve, 5));
}

interface FioResult {
  readonly errors: number;
  readonly longestMs: number;
  readonly requests: number;
}

interface FioJob {
  readonly error: number;
  readonly total_err?: number;
  readonly read: { readonly total_ios: number; readonly clat_ns: { readonly max: number } };
  readonly write: { readonly total_ios: number; readonly clat_ns: { readonly max: number } };
}

/** Writes with checksums, reads everything back. `longestMs`: what the slowest request took, a stall included. */
function fio(file: string, sizeMiB: number, ...more: string[]): Promise<FioResult> {
  const args = [
    ...[
      '--name=load',
      `--filename=${file}`,
      `--size=${sizeMiB}M`,
      '--rw=randwrite',
      '--bs=4k',
      '--direct=1',
      '--ioengine=libaio',
    ],
    ...['--iodepth=16', '--verify=crc32c', '--do_verify=1', '--verify_fatal=1', '--output-format=json', ...more],
  ];
  return new Promise((resolve, reject) => {
    const child = spawn('fio', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
    child.once('close', (status) => {
      if (status !== 0) return reject(new Error(`fio ended with ${status}: ${text.slice(-2000)}`));
      const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as { jobs: FioJob[] };
      const parts = jobs.flatMap((job) => [job.read, job.write]);
      resolve({
        errors: jobs.reduce((sum, job) => sum + job.error + (job.total_err ?? 0), 0),
        longestMs: Math.round(Math.max(...parts.map((part) => part.clat_ns.max)) / 1e6),
        requests: parts.reduce((sum, part) => sum + part.total_ios, 0),
      });
    });
  });
}

async function attach(): Promise<MappingProcess> {
  const server = await MappingProcess.start(options);
  const mapped = await server.do('map');
  tell('mapped', {
    ...mapped,
    ports: server.ports,
    backend: attribute('backend'),
    sectors: attribute('size'),
    ioTimeout: attribute('queue/io_timeout'),
  });
  tell('queue', {
    scheduler: attribute('queue/scheduler'),
    maxSectorsKb: attribute('queue/max_sectors_kb'),
    block: attribute('queue/logical_block_size'),
  });
  const twice = await server.ask('map');
  tell('mapped twice', { error: twice.error });
  run('mkfs.ext4', '-q', '/dev/nbd0');
  mkdirSync(MOUNT);
  run('mount', '/dev/nbd0', MOUNT);
  tell('load', await fio(LOAD_FILE, isLong ? 64 : 8));
  return server;
}

async function grow(server: MappingProcess): Promise<void> {
  const resized = await server.do(`resize ${192 * MiB}`);
  run('resize2fs', '/dev/nbd0');
  const blocks = Number(run('stat', '-f', '-c', '%b', MOUNT)) * Number(run('stat', '-f', '-c', '%S', MOUNT));
  tell('resized', { ...resized, sectors: attribute('size'), fileSystemMiB: Math.floor(blocks / MiB) });
  const refused = await server.ask('unmap');
  tell('unmap while mounted', { error: refused.error, sectors: attribute('size') });
}

/** The next process is up before the first one hands over, as in a rolling upgrade. */
async function handOver(server: MappingProcess): Promise<MappingProcess> {
  const next = await MappingProcess.start({ ...options, sizeBytes: 192 * MiB });
  const load = fio(LOAD_FILE, isLong ? 64 : 8);
  await writesDone(300);
  const handedOver = await server.do('handOver');
  const adopted = await next.do('adopt');
  await server.exit();
  tell('handed over', { handOverMs: handedOver.ms, adoptMs: adopted.ms, ...(await load) });
  return next;
}

/** The next process starts only when the first one is dead. */
async function killAndAdopt(server: MappingProcess): Promise<MappingProcess> {
  const load = fio(LOAD_FILE, isLong ? 64 : 8);
  await writesDone(300);
  const killedMs = performance.now();
  await server.kill();
  const next = await MappingProcess.start({ ...options, sizeBytes: 192 * MiB });
  const adopted = await next.do('adopt');
  const downMs = Math.round(performance.now() - killedMs);
  tell('killed and adopted', { downMs, adoptMs: adopted.ms, sizeBytes: adopted.sizeBytes, ...(await load) });
  return next;
}

async function detach(server: MappingProcess): Promise<void> {
  run('umount', MOUNT);
  tell('checked', { fsck: run('e2fsck', '-fn', '/dev/nbd0').split('\n').at(-2) });
  const unmapped = await server.do('unmap');
  await server.exit();
  tellLeft('detached', { ms: unmapped.ms });
}

function tellLeft(fact: string, seen: object = {}): void {
  tell(fact, {
    ...seen,
    size: attribute('size'),
    pid: attribute('pid'),
    backend: attribute('backend'),
    records: readdirSync('/tmp/records'),
  });
}

/** The kernel gives a socket up because its answers are late, and goes on with the other; the same process replaces the first. */
async function twoConnections(): Promise<void> {
  const two = { ...options, connections: 2, timeoutS: 2 };
  const first = await MappingProcess.start(two);
  await first.do('map');
  const before = reconnectedSockets();
  await first.do('stall 3500');
  const late = await fio('/dev/nbd0', 2);
  const mended = reconnectedSockets() - before;
  tell('late answers', { mended, ...late });
  const load = fio('/dev/nbd0', 4);
  await writesDone(200);
  await first.kill();
  const next = await MappingProcess.start(two);
  await next.do('adopt');
  tell('two connections adopted', { reconnected: reconnectedSockets() - before - mended, ...(await load) });
  await next.do('unmap');
  await next.exit();
  tellLeft('two connections detached');
}

/** As the kernel's log counts them. */
function reconnectedSockets(): number {
  return run('dmesg').split('nbd0: reconnected socket').length - 1;
}

async function reap(): Promise<void> {
  const server = await MappingProcess.start(options);
  await server.do('map');
  await server.kill();
  const next = await MappingProcess.start({ ...options, name: 'cluster.other' });
  const kept = await next.do('reap elsewhere.');
  const reaped = await next.do('reap cluster.');
  await next.exit();
  tellLeft('reaped', { kept: kept.removed, removed: reaped.removed, ms: reaped.ms });
}

writeFileSync('/tmp/disk', '');
truncateSync('/tmp/disk', 256 * MiB);
let server = await attach();
await grow(server);
server = await handOver(server);
server = await killAndAdopt(server);
await detach(server);
await twoConnections();
await reap();
tell('end');

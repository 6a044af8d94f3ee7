// Builds the kernel with ublk where it is not built: 160 MB of download and 1.7 GB of disk meanwhile, some five minutes of processor time,
// 8 MB in the end. Called by the test runner before the first test file that needs it; says on the terminal how far it is.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { CONFIG, FOLDER, STAMP, canHaveUblkKernel, debianMirror, hasUblkKernel, isCommand, wantedStamp } from './ublk-kernel.ts';

/** The first suite whose newest kernel source is new enough for ublk as we want it. */
const SUITES = ['trixie-backports', 'sid'];
const VERSION_MIN = 6016;
const STEP_MS_MAX = 30 * 60_000;
const PROGRESS_MS = process.stdout.isTTY ? 1_000 : 20_000;
const ERROR_BYTES_MAX = 4_000;
/** Names of commands and of the packages that have them. */
const TOOLS = [
  ['flex', 'flex'],
  ['bison', 'bison'],
  ['m4', 'm4'],
  ['bc', 'bc'],
] as const;

const draft = join(FOLDER, `draft-${process.pid}`);
const startedMs = performance.now();

try {
  if (!hasUblkKernel()) await build();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function build(): Promise<void> {
  if (!canHaveUblkKernel())
    throw new Error(
      'cannot build the kernel with ublk: a C compiler, make, xz and the package lists of a Debian mirror are wanted',
    );
  mkdirSync(draft, { recursive: true });
  try {
    const environment = await unpackTools();
    const tree = await unpackSource();
    repair(tree);
    const make = ['make', `-j${availableParallelism()}`, 'ARCH=um', 'O=../built'];
    await run([...make, `KCONFIG_ALLCONFIG=${CONFIG}`, 'allnoconfig'], tree, environment, 'configuring');
    await run([...make, 'linux'], tree, environment, 'compiling');
    await run(['strip', '-o', join(FOLDER, 'linux'), join(draft, 'built/linux')], draft, environment, 'stripping');
    writeFileSync(STAMP, wantedStamp());
    say(`built in ${seconds()}`);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** What a kernel's build wants and this machine has not installed, from its own package lists. */
async function unpackTools(): Promise<NodeJS.ProcessEnv> {
  const missing = TOOLS.filter(([command]) => !isCommand(command)).map(([, name]) => name);
  if (missing.length === 0) return process.env;
  const folder = join(draft, 'tools');
  mkdirSync(folder);
  await run(['apt-get', '-q', 'download', ...missing], folder, process.env, `downloading ${missing.join(', ')}`);
  for (const file of readdirSync(folder)) await run(['dpkg-deb', '-x', file, '.'], folder, process.env, 'unpacking');
  return {
    ...process.env,
    PATH: `${join(folder, 'usr/bin')}:${process.env['PATH'] ?? ''}`,
    BISON_PKGDATADIR: join(folder, 'usr/share/bison'),
    ...(missing.includes('m4') ? { M4: join(folder, 'usr/bin/m4') } : {}),
  };
}

/** The newest kernel source of the first suite that has one, by package lists of our own. */
async function unpackSource(): Promise<string> {
  for (const suite of SUITES) {
    const options = await aptOptions(suite);
    const names = output(['apt-cache', ...options, 'search', '--names-only', '^linux-source-[0-9.]+$']);
    const newest = [...names.matchAll(/^linux-source-(\d+)\.(\d+) /gm)]
      .map(([, major, minor]) => ({ name: `linux-source-${major}.${minor}`, version: Number(major) * 1000 + Number(minor) }))
      .toSorted((a, b) => b.version - a.version)[0];
    if (newest === undefined || newest.version < VERSION_MIN) continue;
    await run(['apt-get', ...options, '-q', 'download', newest.name], draft, process.env, `downloading ${newest.name}`);
    const file = readdirSync(draft).find((name) => name.startsWith(newest.name))!;
    await run(['dpkg-deb', '-x', file, 'package'], draft, process.env, 'unpacking');
    await run(['tar', '-xf', `package/usr/src/${newest.name}.tar.xz`], draft, process.env, 'unpacking');
    return join(draft, newest.name);
  }
  throw new Error(
    `cannot build the kernel with ublk: no suite of ${SUITES.join(', ')} has a kernel source of Linux 6.16 or later`,
  );
}

/**
 * UML maps a run of more than two pages wrongly (it adds the count that is left, not one page), which breaks every fork of a process that has an
 * io_uring: all of Node's. Nothing to do where that is repaired.
 */
function repair(tree: string): void {
  const file = join(tree, 'arch/um/include/asm/pgtable.h');
  const source = readFileSync(file, 'utf8');
  writeFileSync(file, source.replace('(nr << PFN_PTE_SHIFT)', '(1UL << PFN_PTE_SHIFT)'));
}

async function aptOptions(suite: string): Promise<string[]> {
  const folder = join(draft, suite);
  mkdirSync(join(folder, 'lists/partial'), { recursive: true });
  mkdirSync(join(folder, 'cache/archives/partial'), { recursive: true });
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg';
  writeFileSync(join(folder, 'sources.list'), `deb [signed-by=${keys}] ${debianMirror()!} ${suite} main\n`);
  const places = {
    'Dir::Etc::SourceList': 'sources.list',
    'Dir::State::Lists': 'lists',
    'Dir::Cache': 'cache',
  };
  const options = Object.entries(places).flatMap(([key, name]) => ['-o', `${key}=${join(folder, name)}`]);
  options.push('-o', 'Dir::Etc::SourceParts=/dev/null');
  await run(['apt-get', ...options, '-q', 'update'], draft, process.env, `looking into ${suite}`);
  return options;
}

function output([command, ...args]: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command!, args, { cwd: draft, encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot build the kernel with ublk: ${command} said ${stderr}`);
  return stdout;
}

/** Niced, with a line on the terminal now and then. */
async function run(command: readonly string[], folder: string, env: NodeJS.ProcessEnv, what: string): Promise<void> {
  const child = spawn('nice', [...command], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: STEP_MS_MAX });
  let lines = 0;
  let said = '';
  const take = (text: string): void => {
    lines += text.split('\n').length - 1;
    said = `${said}${text}`.slice(-ERROR_BYTES_MAX);
  };
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', take);
  const timer = setInterval(() => say(`${what}, ${lines} lines, ${seconds()}`), PROGRESS_MS);
  const stop = (): void => void child.kill();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const status = await new Promise<number | string | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  clearInterval(timer);
  process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop);
  if (status !== 0)
    throw new Error(`cannot build the kernel with ublk: ${command.join(' ')} ended with ${status}; it said:\n${said}`);
}

function seconds(): string {
  return `${Math.round((performance.now() - startedMs) / 1000)} s`;
}

function say(text: string): void {
  process.stdout.write(`${process.stdout.isTTY ? '\r\u001b[K' : ''}kernel with ublk: ${text}\n`);
}

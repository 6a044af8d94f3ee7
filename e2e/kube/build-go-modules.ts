// Builds the programs of pinned Go modules, once, into build/kube/VERSION, with its progress on this terminal. Called by
// build-binaries.ts and by e2e/sanity/build-programs.ts.
// Keeps: one builder at a time on this clone; a program appears under its name only when it is whole.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '../local/wait-for.ts';
import { BINARIES_FOLDER, isBuilt, stampFile, wantedStamp } from './go-module.ts';
import type { GoModule } from './go-module.ts';
import { isAlive } from './rig-process.ts';

const LOCK = join(BINARIES_FOLDER, '.lock');
const LOCK_PATIENCE_MS = 30 * 60_000;
const PROGRESS_PERIOD_MS = process.stdout.isTTY ? 1_000 : 20_000;
const ERROR_BYTES_MAX = 4_000;

export async function buildGoModules(modules: readonly GoModule[]): Promise<void> {
  if (modules.every(isBuilt)) return;
  mkdirSync(BINARIES_FOLDER, { recursive: true });
  await takeLock();
  try {
    for (const module of modules) if (!isBuilt(module)) await build(module);
  } finally {
    rmSync(LOCK, { force: true });
  }
}

async function build(module: GoModule): Promise<void> {
  const startedMs = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - startedMs) / 1000)} s`;
  const target = join(BINARIES_FOLDER, `.new-${module.name}`);
  rmSync(target, { recursive: true, force: true });
  say(`${module.name}: downloading Go modules`);
  const packageCount = countPackages(module);
  const child = spawn('go', ['build', '-v', ...module.flags, '-o', `${target}/`, module.target], {
    cwd: module.folder,
    env: goEnvironment(),
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let compiled = 0;
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    // With -v it names each package that it compiles; every other line is a complaint or a download.
    for (const line of text.split('\n')) {
      if (/^[a-z0-9./_-]+$/i.test(line)) compiled++;
      else if (!line.startsWith('go: downloading')) errors = `${errors}${line}\n`.slice(-ERROR_BYTES_MAX);
    }
  });
  const progress = (): void => showProgress(`${module.name}: ${compiled} of at most ${packageCount} packages, ${seconds()}`);
  const timer = setInterval(progress, PROGRESS_PERIOD_MS);
  const stop = (): void => void child.kill();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const status = await new Promise<number | string | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  clearInterval(timer);
  process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop);
  if (status !== 0) throw new Error(`cannot build ${module.name}: go ended with ${status}; it said:\n${errors.trim()}`);
  for (const program of module.programs) renameSync(join(target, module.builtAs ?? program), join(BINARIES_FOLDER, program));
  rmSync(target, { recursive: true });
  writeFileSync(stampFile(module), wantedStamp(module));
  say(`${module.name}: ${module.programs.join(', ')} built in ${seconds()}`);
}

/** How many packages the programs are made of; the download of the modules happens here. */
function countPackages(module: GoModule): number {
  const options = { cwd: module.folder, env: goEnvironment(), encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 } as const;
  const { status, stdout, stderr } = spawnSync('go', ['list', '-deps', module.target], options);
  if (status !== 0) throw new Error(`cannot list what ${module.name} is made of; go said:\n${stderr.slice(-ERROR_BYTES_MAX)}`);
  return stdout.split('\n').length - 1;
}

function goEnvironment(): NodeJS.ProcessEnv {
  // Static programs; a workspace of the user's has no say here.
  return { ...process.env, CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '-buildvcs=false' };
}

async function takeLock(): Promise<void> {
  let hasSaid = false;
  await waitFor('another build of Go programs to end', LOCK_PATIENCE_MS, async () => {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
      return Promise.resolve(true);
    } catch {
      const holder = Number(readFileSync(LOCK, 'utf8'));
      if (!isAlive(holder)) rmSync(LOCK, { force: true });
      else if (!hasSaid) say(`waiting for process ${holder}, which is building them`);
      hasSaid = true;
      return null;
    }
  });
}

function showProgress(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[Kkube: ${text}`);
  else say(text);
}

export function say(text: string): void {
  process.stdout.write(`${process.stdout.isTTY ? '\r\u001b[K' : ''}kube: ${text}\n`);
}

// Compiles the native addon to datapath/build/pureflash.node with the system's C compiler, if its sources have changed.
// Usage: node native/build.mjs [--force]. Exit status 0: built or up to date; 1: no compiler, or it failed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const output = join(folder, '..', 'build', 'pureflash.node');
const stampPath = `${output}.stamp`;
const compiler = process.env.CC ?? 'cc';
const sources = readdirSync(folder)
  .filter((name) => /\.[ch]$/.test(name))
  .sort();
// Programs of their own, beside the addon: one holds a descriptor while its server is dead, one does ublk's control commands.
const programs = [
  { source: join('holder', 'holder.c'), output: join(folder, '..', 'build', 'pureflash-holder') },
  { source: join('ublk-control', 'ublk-control.c'), output: join(folder, '..', 'build', 'pureflash-ublk') },
];
const flags = [
  '-std=gnu11',
  '-O2',
  '-g',
  '-fPIC',
  '-shared',
  '-fvisibility=hidden',
  '-Wall',
  '-Wextra',
  '-Werror=implicit',
  '-Wno-cast-function-type',
];

process.exitCode = main();

function main() {
  const stamp = describeInputs();
  const areThere = existsSync(output) && programs.every((program) => existsSync(program.output));
  const isCurrent = areThere && existsSync(stampPath) && readFileSync(stampPath, 'utf8') === stamp;
  if (isCurrent && !process.argv.includes('--force')) return 0;
  const headers = findHeaders();
  if (headers === null) return fail('the headers of Node are missing: run npm ci, which installs them with the node package');
  mkdirSync(dirname(output), { recursive: true });
  const cFiles = sources.filter((name) => name.endsWith('.c')).map((name) => join(folder, name));
  const status =
    programs.reduce(
      (failed, { source, output: file }) => failed || compile(['-O2', '-Wall', '-Wextra', join(folder, source)], file),
      0,
    ) || compile([...flags, '-I', headers, ...cFiles], output);
  if (status !== 0) return status;
  writeFileSync(stampPath, stamp);
  console.log(`native addon built: ${output}`);
  return 0;
}

function compile(inputs, file) {
  const temporary = `${file}.${process.pid}`;
  const result = spawnSync(compiler, ['-o', temporary, ...inputs], { encoding: 'utf8' });
  if (result.error?.code === 'ENOENT') return fail(`there is no C compiler "${compiler}": install gcc or clang, or set CC`);
  if (result.status !== 0) return fail(`the C compiler failed:\n${result.stderr}`);
  if (result.stderr) process.stderr.write(result.stderr);
  renameSync(temporary, file);
  return 0;
}

function describeInputs() {
  const hash = createHash('sha256').update([process.version, process.arch, compiler, ...flags].join(' '));
  for (const name of [...sources, ...programs.map(({ source }) => source)])
    hash.update(name).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
}

/** Beside the running binary, else in the npm package of this platform. */
function findHeaders() {
  const places = [join(dirname(process.execPath), '..', 'include', 'node')];
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-linux-${process.arch}/package.json`);
    places.unshift(join(dirname(manifest), 'include', 'node'));
  } catch {
    // Not installed by npm: the binary's own folder is the only place left.
  }
  return places.find((place) => existsSync(join(place, 'node_api.h')) && existsSync(join(place, 'uv.h'))) ?? null;
}

function fail(reason) {
  console.error(`native addon not built: ${reason}. Without it sockets and disks go through libuv, which is slower.`);
  return 1;
}

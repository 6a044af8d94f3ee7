// A pinned Go module of this repository whose programs the suites run, and whether they are built. They lie in build/kube/VERSION, made by
// build-go-modules.ts. Called by binaries.ts for Kubernetes' programs and by e2e/sanity for those of CSI.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const KUBERNETES_VERSION = '1.36.4';
export const BINARIES_FOLDER = resolve(import.meta.dirname, '../../build/kube', KUBERNETES_VERSION);

export interface GoModule {
  readonly name: string;
  /** Where its go.mod lies. */
  readonly folder: string;
  /** What is built: the tools that go.mod names, or the program in the folder itself. */
  readonly target: 'tool' | '.';
  readonly programs: readonly string[];
  /** What Go calls the program, where that is not its name: it names one after its module. */
  readonly builtAs: string | null;
  readonly flags: readonly string[];
}

/** Of the linker, and of the compiler: nothing for debuggers, no paths of this machine. */
export const STRIPPED = '-s -w';
export const SLIM: readonly string[] = ['-trimpath', '-gcflags=all=-dwarf=false'];

const GO_MINOR_MIN = 26;

export function stampFile(module: GoModule): string {
  return join(BINARIES_FOLDER, `.${module.name}-stamp`);
}

/** What the programs of a module are made of, as a checksum: versions, checksums of the sources, flags. */
export function wantedStamp(module: GoModule): string {
  const hash = createHash('sha256').update(module.flags.join('\n'));
  const files = readdirSync(module.folder).filter((file) => /^go\.(mod|sum)$|\.go$/.test(file));
  for (const file of files.sort()) hash.update(readFileSync(join(module.folder, file)));
  return hash.digest('hex');
}

export function isBuilt(module: GoModule): boolean {
  const stamp = stampFile(module);
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wantedStamp(module)) return false;
  return module.programs.every((program) => existsSync(join(BINARIES_FOLDER, program)));
}

export function hasGo(): boolean {
  const { status, stdout } = spawnSync('go', ['version'], { encoding: 'utf8' });
  const minor = /go1\.(\d+)/.exec(stdout ?? '')?.[1];
  return status === 0 && minor !== undefined && Number(minor) >= GO_MINOR_MIN;
}

// Writes container images without a container engine: a docker archive with one layer, from files of this machine. Called by
// node.ts for the sandbox image and by suites for the images of their pods. Same files, same bytes.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { realpathSync, rmSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { writeTarFile } from './tar.ts';
import type { TarEntry } from './tar.ts';

export interface ImageFile {
  /** Absolute path inside the image. */
  readonly path: string;
  /** A file of this machine, a text, or the target of a symbolic link. */
  readonly from: { readonly source: string } | { readonly text: string } | { readonly link: string };
  /** The source's own, or 0644 for a text, unless told. */
  readonly mode?: number;
}

export interface ImageOptions {
  /** Where the archive goes. */
  readonly file: string;
  /** "localhost/name:1". A tag other than latest keeps kubelet from asking a registry. */
  readonly name: string;
  readonly files: readonly ImageFile[];
  readonly entrypoint: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** "65532" or "65532:65532"; root unless told. */
  readonly user?: string;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const STANDARD_FOLDERS = ['dev', 'etc', 'proc', 'sys', 'tmp', 'var'];

export function writeImage(options: ImageOptions): void {
  const layerFile = `${options.file}.layer`;
  try {
    const layerHash = createHash('sha256');
    writeTarFile(layerFile, layerEntries(options.files), (piece) => layerHash.update(piece));
    const config = imageConfig(options, layerHash.digest('hex'));
    const configName = `${createHash('sha256').update(config).digest('hex')}.json`;
    const manifest = [{ Config: configName, RepoTags: [options.name], Layers: ['layer.tar'] }];
    writeTarFile(options.file, [
      { path: configName, mode: 0o644, content: { data: config } },
      { path: 'layer.tar', mode: 0o644, content: { source: layerFile } },
      { path: 'manifest.json', mode: 0o644, content: { data: Buffer.from(JSON.stringify(manifest)) } },
    ]);
  } finally {
    rmSync(layerFile, { force: true });
  }
}

/**
 * A program with the libraries and the loader that it wants, each at its place on this machine; the program also at `path`
 * where that is given. Symbolic links are followed: what lands in the image is the file itself.
 */
export function programFiles(program: string, path: string = program): ImageFile[] {
  const source = realpathSync(program);
  return [
    { path, from: { source } },
    ...librariesOf(source).map((library) => ({ path: library, from: { source: realpathSync(library) } })),
  ];
}

/** This Node as /bin/node. */
export function nodeFiles(): ImageFile[] {
  return programFiles(process.execPath, '/bin/node');
}

function librariesOf(program: string): string[] {
  let text: string;
  try {
    text = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return []; // A static program: ldd says so with its exit status.
  }
  // "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)", and the loader as "/lib64/ld-linux-x86-64.so.2 (0x...)".
  const lines = text.split('\n').map((line) => /^\s*(?:\S+ => )?(\/\S+) \(0x/.exec(line)?.[1]);
  return lines.filter((library) => library !== undefined);
}

function layerEntries(files: readonly ImageFile[]): TarEntry[] {
  const entries = new Map<string, TarEntry>();
  const addFolder = (path: string): void => {
    if (path === '.' || path === '/' || entries.has(path)) return;
    addFolder(posix.dirname(path));
    entries.set(path, { path, mode: path === 'tmp' ? 0o1777 : 0o755, content: 'folder' });
  };
  STANDARD_FOLDERS.forEach(addFolder);
  for (const file of files) {
    const path = posix.normalize(file.path).replace(/^\//, '');
    addFolder(posix.dirname(path));
    entries.set(path, entryOf(path, file));
  }
  return [...entries.values()];
}

function entryOf(path: string, { from, mode }: ImageFile): TarEntry {
  if ('text' in from) return { path, mode: mode ?? 0o644, content: { data: Buffer.from(from.text) } };
  if ('link' in from) return { path, mode: 0o777, content: from };
  return { path, mode: mode ?? statSync(from.source).mode & 0o777, content: from };
}

function imageConfig(options: ImageOptions, layerDigest: string): Buffer {
  const env = { PATH: '/bin:/usr/bin:/sbin:/usr/sbin', ...options.env };
  const config = {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    config: {
      Entrypoint: options.entrypoint,
      Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      ...(options.user === undefined ? {} : { User: options.user }),
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerDigest}`] },
    history: [{ created_by: 'pureflash' }],
  };
  return Buffer.from(JSON.stringify(config));
}

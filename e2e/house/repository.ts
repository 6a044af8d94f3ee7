// Reads the text files of the repository once, for every rule of the house. Called by the house's tests.
// Walks the folders instead of asking git, so that it also works in an unpacked archive.
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface RepositoryFile {
  /** Relative to the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export const ROOT = resolve(import.meta.dirname, '../..');

const SKIPPED_FOLDERS: ReadonlySet<string> = new Set(['node_modules', 'build', '.git', 'gen', 'testdata']);
const TEXT_FILE = /(\.(ts|js|mjs|json|md|ya?ml|sh|c|cc|h|css|html|txt)|^Makefile|^run|^Dockerfile|^\.\w+|bin\/[a-z-]+)$/;

export function readRepository(root: string = ROOT): RepositoryFile[] {
  const files: RepositoryFile[] = [];
  walk(root, '', files);
  return files;
}

export function isTypeScript(path: string): boolean {
  return path.endsWith('.ts');
}

/** Tests and what only tests import: contract suites, and folders called testing. */
export function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.endsWith('-contract.ts') || path.includes('/testing/');
}

function walk(root: string, folder: string, files: RepositoryFile[]): void {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!SKIPPED_FOLDERS.has(entry.name)) walk(root, path, files);
    } else if (entry.isFile() && (TEXT_FILE.test(entry.name) || TEXT_FILE.test(path))) {
      files.push({ path, text: readFileSync(join(root, path), 'utf8') });
    }
  }
}

// Finds the test files of the four workspaces by walking the folders, so it works with or without git.
// Called by run-tests.ts. Paths are relative to the root of the repository, with forward slashes, sorted.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export const WORKSPACES = ['datapath', 'operator', 'csi', 'e2e'] as const;

const SKIPPED_FOLDERS: ReadonlySet<string> = new Set(['node_modules', 'build', 'gen', '.git']);

export function findTestFiles(root: string): string[] {
  const found: string[] = [];
  for (const workspace of WORKSPACES) walk(root, workspace, found);
  return found.sort();
}

/** `only` holds parts of paths separated by commas; empty means every file. */
export function selectFiles(files: readonly string[], only: string, isUnitOnly: boolean): string[] {
  const parts = only.split(',').filter((part) => part !== '');
  return files.filter((file) => {
    if (isUnitOnly && isEndToEnd(file)) return false;
    return parts.length === 0 || parts.some((part) => file.includes(part));
  });
}

/** End-to-end files use the whole machine and run one at a time; the house rules are ordinary unit tests. */
export function isEndToEnd(file: string): boolean {
  return file.startsWith('e2e/') && !file.startsWith('e2e/house/') && !file.startsWith('e2e/run/');
}

function walk(root: string, folder: string, found: string[]): void {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory() && !SKIPPED_FOLDERS.has(entry.name)) walk(root, path, found);
    else if (entry.isFile() && entry.name.endsWith('.test.ts')) found.push(path);
  }
}

// A temporary folder for a test file's run, removed when its process exits.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Returns a maker of fresh paths: newPath('disk') -> "/tmp/pf-xxxxxx/1-disk". */
export function makeTestFolder(): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'pf-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  let count = 0;
  return (name) => join(folder, `${++count}-${name}`);
}

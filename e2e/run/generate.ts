// Writes every generated file again; behind `make generate`. The list is in e2e/house/generated.ts.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { GENERATED_FILES } from '../house/generated.ts';

const root = resolve(import.meta.dirname, '../..');
for (const { path, render } of GENERATED_FILES) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), render());
  console.log(`wrote ${path}`);
}

// Mutations follow the code: each one's text is where it says, exactly once, so that `make mutants` has something to plant.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MUTATIONS } from './mutations.ts';

const ROOT = resolve(import.meta.dirname, '../..');

test('the text of every mutation is in its file exactly once, and planting changes it', () => {
  for (const { name, file, find, replace } of MUTATIONS) {
    const pieces = readFileSync(join(ROOT, file), 'utf8').split(find);
    assert.is(pieces.length - 1, 1, `"${name}" in ${file}: write it anew in mutations.ts`);
    assert.is.not(find, replace, name);
  }
});

test.run();

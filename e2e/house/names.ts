// File names and the glossary: kebab-case after the noun exported, no catch-all names, and none of the words that
// docs/glossary.md replaces. Called by repository.test.ts.
import { posix } from 'node:path';
import { isTypeScript } from './repository.ts';
import type { RepositoryFile } from './repository.ts';
import { factsOf } from './source.ts';

const KEBAB_CASE = /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.d)?\.ts$/;
const CATCH_ALL: ReadonlySet<string> = new Set(['util', 'utils', 'helper', 'helpers', 'common', 'misc', 'manager']);

export function fileNameOffences(path: string): string[] {
  if (!isTypeScript(path)) return [];
  const name = posix.basename(path);
  const offences = KEBAB_CASE.test(name) ? [] : [`${path}: a file name is kebab-case`];
  const stem = name.replace(/(\.test|\.d)?\.ts$/, '');
  const word = stem.split('-').find((part) => CATCH_ALL.has(part));
  if (word !== undefined) offences.push(`${path}: "${word}" names no idea: use the noun that the file exports`);
  return offences;
}

/** Reads the table under the heading "Words we do not use": replaced word to our word. */
export function replacedWords(glossary: string): Map<string, string> {
  const section = glossary.split(/^## /m).find((part) => part.startsWith('Words we do not use')) ?? '';
  const rows = [...section.matchAll(/^\| `([^`]+)` *\| ([^|]+?) *\|/gm)];
  return new Map(rows.map((row) => [row[1] ?? '', row[2] ?? '']));
}

/** Names that a file declares and its own name are made of our words; prose may speak of others' words. */
export function glossaryOffences(file: RepositoryFile, replaced: ReadonlyMap<string, string>): string[] {
  if (!isTypeScript(file.path)) return [];
  const offences: string[] = [];
  const complain = (where: string, name: string): void => {
    for (const word of wordsOf(name)) {
      const ours = replaced.get(word);
      if (ours !== undefined) offences.push(`${where}: "${name}" says "${word}": our word is ${ours}`);
    }
  };
  complain(file.path, posix.basename(file.path, '.ts'));
  for (const { name, line } of factsOf(file.text).declared) complain(`${file.path}:${line}`, name);
  return offences;
}

/** `lmtEntryCount` -> lmt, entry, count. */
function wordsOf(name: string): string[] {
  const spaced = name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2');
  return spaced.toLowerCase().split(/[^a-z0-9]+/);
}

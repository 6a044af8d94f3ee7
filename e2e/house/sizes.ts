// Limits of length: files, functions, main files and the READMEs of folders. Called by repository.test.ts.
import { isTest, isTypeScript } from './repository.ts';
import type { RepositoryFile } from './repository.ts';
import { factsOf } from './source.ts';

const FILE_LINES_MAX = 600;
const TEST_LINES_MAX = 900;
const MAIN_LINES_MAX = 80;
const FUNCTION_LINES_MAX = 70;
const README_LINES_MAX = 40;

export function sizeOffences(file: RepositoryFile): string[] {
  const lineCount = file.text.split('\n').length - 1;
  if (/\/README\.md$/.test(file.path)) return tooLong(file.path, lineCount, README_LINES_MAX, 'the README of a folder');
  if (!isTypeScript(file.path)) return [];
  if (isTest(file.path)) return tooLong(file.path, lineCount, TEST_LINES_MAX, 'a test file');
  if (file.path.startsWith('datapath/src/bin/')) return tooLong(file.path, lineCount, MAIN_LINES_MAX, 'a main file');
  const offences = tooLong(file.path, lineCount, FILE_LINES_MAX, 'a file');
  for (const found of factsOf(file.text).functions) {
    offences.push(...tooLong(`${file.path}:${found.line}: ${found.name}()`, found.lineCount, FUNCTION_LINES_MAX, 'a function'));
  }
  return offences;
}

function tooLong(what: string, lineCount: number, max: number, kind: string): string[] {
  return lineCount > max ? [`${what}: ${lineCount} lines; ${kind} has at most ${max}: it holds two ideas`] : [];
}

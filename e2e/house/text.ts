// Hygiene of every text file: no tabs in TypeScript, no trailing spaces, one newline at the end, no unfinished-work
// marks, no path of one machine, no test that silences its neighbours, and no address of a package registry. Called by repository.test.ts.
import { isTypeScript } from './repository.ts';
import type { RepositoryFile } from './repository.ts';

// The patterns are put together from parts, so that this file keeps its own rules.
const MARKS = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`);
const REGISTRIES = new RegExp(
  [
    ['registry', 'npmjs'],
    ['registry', 'yarnpkg'],
    ['npm', 'pkg', 'github'],
    ['proxy', 'golang'],
    ['crates', 'io'],
    ['pypi', 'org'],
  ]
    .map((parts) => parts.join('\\.'))
    .join('|'),
  'i',
);
/** Folders where people keep their clones: such a path is right on one machine only. */
const ONE_MACHINE = new RegExp('(^|[\\s"\'`(=])/(' + ['home', 'Users', 'work', 'workspace'].join('|') + ')/');
const DOWNLOAD_ADDRESS = /"resolved": "https?:/;
const ONE_TEST_ONLY = new RegExp('\\.on' + 'ly\\(');

export function textOffences(file: RepositoryFile): string[] {
  const offences: string[] = [];
  file.text.split('\n').forEach((line, index) => {
    const complaint = complainLine(file.path, line);
    if (complaint !== null) offences.push(`${file.path}:${index + 1}: ${complaint}`);
  });
  if (file.text !== '' && !/[^\n]\n$/.test(file.text)) offences.push(`${file.path}: must end in exactly one newline`);
  return offences;
}

export function registryOffences(file: RepositoryFile): string[] {
  const offences: string[] = [];
  file.text.split('\n').forEach((line, index) => {
    if (REGISTRIES.test(line)) offences.push(`${file.path}:${index + 1}: names a package registry; the user's npm knows its own`);
    else if (DOWNLOAD_ADDRESS.test(line)) offences.push(`${file.path}:${index + 1}: records a download address`);
  });
  return offences;
}

function complainLine(path: string, line: string): string | null {
  if (/[ \t]$/.test(line)) return 'trailing space';
  if (line.includes('\r')) return 'carriage return';
  if (isTypeScript(path) && line.includes('\t')) return 'tab: indent by two spaces';
  if (path !== 'package-lock.json' && MARKS.test(line))
    return 'unfinished work is not kept in the text: do it or decide against it';
  if (ONE_MACHINE.test(line)) return 'a path of one machine: use one relative to the repository, or a temporary folder';
  if (path.endsWith('.test.ts') && ONE_TEST_ONLY.test(line)) return 'this runs one test and silences the others of its file';
  return null;
}

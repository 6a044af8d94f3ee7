// The wall between the workspaces: operator and csi enter the datapath only by the doors that its `exports` map
// publishes, never import each other, and no index.ts exists except the doors. Called by repository.test.ts.
import { posix } from 'node:path';
import type { RepositoryFile } from './repository.ts';
import { factsOf } from './source.ts';

/** Door name (`./api`) to file (`./src/api/resources.ts`), as datapath/package.json has it. */
export type Doors = Readonly<Record<string, string>>;

const SCOPE = '@pureflash/';
const MAY_ENTER: Readonly<Record<string, readonly string[]>> = {
  datapath: ['datapath'],
  operator: ['operator', 'datapath'],
  csi: ['csi', 'datapath'],
  e2e: ['e2e', 'datapath', 'operator', 'csi'],
};

export function doorOffences(file: RepositoryFile, doors: Doors): string[] {
  const own = file.path.split('/')[0] ?? '';
  const mayEnter = MAY_ENTER[own];
  if (mayEnter === undefined) return [];
  const offences: string[] = [];
  for (const { name, line } of factsOf(file.text).imports) {
    const complaint = complain(own, mayEnter, file.path, name, doors);
    if (complaint !== null) offences.push(`${file.path}:${line}: ${complaint}`);
  }
  return offences;
}

export function indexOffences(files: readonly RepositoryFile[], doors: Doors): string[] {
  const allowed = new Set(Object.values(doors).map((target) => posix.join('datapath', target)));
  const found = files.map((file) => file.path).filter((path) => posix.basename(path) === 'index.ts');
  return found
    .filter((path) => !allowed.has(path))
    .map((path) => `${path}: index.ts is kept for the doors of datapath/package.json`);
}

/** Doors that lead to no file. */
export function emptyDoorOffences(files: readonly RepositoryFile[], doors: Doors): string[] {
  const paths = new Set(files.map((file) => file.path));
  const empty = Object.entries(doors).filter(([, target]) => !paths.has(posix.join('datapath', target)));
  return empty.map(([door, target]) => `datapath/package.json: the door "${door}" leads to "${target}", which does not exist`);
}

function complain(own: string, mayEnter: readonly string[], path: string, specifier: string, doors: Doors): string | null {
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier).split('/')[0] ?? '';
    // e2e looks at the repository from outside: benchmarks and planted mutations may take single files.
    if (target === own || own === 'e2e') return null;
    return `"${specifier}" reaches into ${target} past its doors: import ${SCOPE}${target}/NAME`;
  }
  if (!specifier.startsWith(SCOPE)) return null;
  const [workspace = '', ...rest] = specifier.slice(SCOPE.length).split('/');
  if (!mayEnter.includes(workspace)) return `${own} may not import ${workspace} ("${specifier}")`;
  const door = `./${rest.join('/')}`;
  if (workspace !== 'datapath' || door in doors) return null;
  return `"${specifier}" is no door of the datapath; the doors are ${Object.keys(doors).join(', ')}`;
}

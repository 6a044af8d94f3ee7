// The files that are written from the source and checked in: `make generate` writes them, repository.test.ts fails
// when one differs from what would be written now. A new generated file is one more entry here.
import { crdFiles, crdTemplates } from '@pureflash/operator/api';
import { LAYERS } from './layers.ts';

export interface GeneratedFile {
  readonly path: string;
  readonly render: () => string;
}

export const GENERATED_FILES: readonly GeneratedFile[] = [
  { path: 'docs/reference/layers.md', render: renderLayers },
  ...[...crdFiles(), ...crdTemplates()].map(({ path, text }) => ({ path, render: () => text })),
];

/** `read` returns the text of a path, or null where there is none. */
export function driftOffences(files: readonly GeneratedFile[], read: (path: string) => string | null): string[] {
  const stale = files.filter((file) => read(file.path) !== file.render());
  return stale.map((file) => `${file.path}: is not what its source says: run make generate`);
}

function renderLayers(): string {
  const rows = LAYERS.map(({ folder, mayImport, says }) => {
    const allowed =
      folder === 'bin'
        ? 'everything'
        : folder === 'sim'
          ? 'everything but `bin`, `world/node`'
          : mayImport.map((name) => `\`${name}\``).join(', ');
    return `| \`${folder}\` | ${allowed === '' ? 'nothing' : allowed} | ${says} |`;
  });
  return [
    '# Who may import whom in datapath/src',
    '',
    'Written by `make generate` from `e2e/house/layers.ts`; do not edit. A folder may import itself and what its row',
    'names. Only `world/node`, `bin` and tests import `node:*`. Services never import each other.',
    '',
    '| folder | may import | what it is |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

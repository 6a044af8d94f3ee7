// The `pureflash` command: a cluster on this machine from the same YAML that an operator takes. Finds the verb, and turns failures into
// words on standard error and an exit code. Called by bin/pureflash.ts and by tests.
import { exitCodeOf } from '@pureflash/datapath/api';
import { errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import { findCommand } from '@pureflash/datapath/cli';
import { down } from './down.ts';
import { logs } from './logs.ts';
import { status } from './status.ts';
import type { Terminal, Verb } from './terminal.ts';
import { up } from './up.ts';

const VERBS: Readonly<Record<string, Verb>> = { up, status, down, logs };
const EXIT_USAGE = 64;

export async function runPureflash(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const found = findCommand('pureflash', Object.keys(VERBS), argv);
    if (found !== null) return await VERBS[found.name]!.run(terminal, found.rest);
    terminal.out(overview());
    return argv.length === 0 ? EXIT_USAGE : 0;
  } catch (error) {
    terminal.error(`pureflash: ${formatErrorChain(error)}`);
    return exitCodeOf(errorCodeOf(error));
  }
}

function overview(): string {
  const width = Math.max(...Object.keys(VERBS).map((name) => name.length));
  return [
    'pureflash: a PureFlash cluster on this machine, from a StorageCluster.',
    '',
    'Usage: pureflash VERB [FLAGS]',
    '',
    'Verbs:',
    ...Object.entries(VERBS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'Every verb takes --help and --data DIR (default: ./pureflash-data).',
  ].join('\n');
}

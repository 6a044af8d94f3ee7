// pureflash: a cluster on this machine.
import { fileURLToPath } from 'node:url';
import { runPureflash } from '../local/cli/pureflash.ts';
import { openTerminal } from '../local/host/node-terminal.ts';

const PROGRAMS = fileURLToPath(new URL('../../../datapath/bin', import.meta.url));

process.exitCode = await runPureflash(process.argv.slice(2), openTerminal(process.env['PUREFLASH_PROGRAMS'] ?? PROGRAMS));

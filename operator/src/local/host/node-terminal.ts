// The terminal of the `pureflash` command on a real machine.
import { resolve } from 'node:path';
import { formatErrorChain } from '@pureflash/datapath/base';
import { openNodeWorld, type Logger } from '@pureflash/datapath/world';
import type { Terminal } from '../cli/terminal.ts';
import { followFile, tailOf } from './log-file.ts';

/** HTTP, files, and control sockets: hardly any I/O memory, and no ring. */
const MEMORY_BYTES = 16 * 1024 * 1024;

/** `programs`: the folder with the daemons' programs. */
export function openTerminal(programs: string): Terminal {
  return {
    out: (text) => void process.stdout.write(`${text}\n`),
    error: (text) => void process.stderr.write(`${text}\n`),
    resolve: (path) => resolve(path),
    interrupted: new Promise((done) => {
      process.once('SIGINT', () => done());
      process.once('SIGTERM', () => done());
    }),
    pid: process.pid,
    programs,
    openWorld: () => openNodeWorld({ ports: 'libuv', memoryBytes: MEMORY_BYTES, log: terminalLogger }),
    parseTime: (text) => Date.parse(text),
    tail: tailOf,
    follow: followFile,
  };
}

/** What the libraries say matters here only when something is wrong. */
const terminalLogger: Logger = {
  debug() {},
  info() {},
  warn: say,
  error: say,
  child: () => terminalLogger,
  setLevel() {},
};

function say(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
  const { error } = fields;
  process.stderr.write(
    `pureflash: ${message}${error === undefined ? '' : `: ${error instanceof Error ? formatErrorChain(error) : String(error)}`}\n`,
  );
}

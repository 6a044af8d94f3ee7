// What the verbs of the `pureflash` command get from outside. host/terminal.ts makes the real one; tests make theirs.
import type { World } from '@pureflash/datapath/world';

export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  /** A path as the user typed it, absolute. */
  resolve(path: string): string;
  /** Resolves at the first SIGINT or SIGTERM. */
  readonly interrupted: Promise<void>;
  readonly pid: number;
  /** Folder with the daemons' programs. */
  readonly programs: string;
  openWorld(): Promise<World>;
  /** Milliseconds since 1970. */
  parseTime(text: string): number;
  /** The last `count` lines of a file; none when there is no file. */
  tail(path: string, count: number): Promise<readonly string[]>;
  /** The same, and then each line that comes, until `signal`; also when the file is made later, or is replaced. */
  follow(path: string, count: number, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
}

export interface Verb {
  readonly summary: string;
  /** Returns the exit code. */
  run(terminal: Terminal, argv: readonly string[]): Promise<number>;
}

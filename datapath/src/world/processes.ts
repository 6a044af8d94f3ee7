// Child processes, for launchers and supervisors, and processes that an earlier supervisor has left running.
//
// A process id alone names nothing for long: ids are used again. What names a process is its identity, and every signal to a
// process that this program did not start itself compares the identity first.

export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in clock ticks since the boot: field 22 of /proc/PID/stat. */
  readonly startTicks: number;
  /** The boot that it belongs to. */
  readonly bootId: string;
}

/** Of a value from a file. */
export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  const { pid, startTicks, bootId } = (value ?? {}) as Partial<ProcessIdentity>;
  return Number.isSafeInteger(pid) && pid! > 0 && Number.isSafeInteger(startTicks) && typeof bootId === 'string';
}

export interface SpawnOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** stdout and stderr are appended to this file. */
  readonly logPath: string;
  /** A log of at least this size is renamed to `${logPath}.1` first, in place of the one there. Default: it grows on. */
  readonly rotateLogAtBytes?: number;
  readonly workingFolder?: string;
  /** The child outlives its parent, and leads a process group of its own. */
  readonly isDetached?: boolean;
}

/** Both null: it ended, and how is not known, because another process was its parent. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: string | null;
}

export type SignalName = 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGINT';

export interface Child {
  readonly pid: number;
  readonly identity: ProcessIdentity;
  /** Never settles for a process that outlives this world. */
  readonly exited: Promise<ExitStatus>;
  /** Nothing when the process has ended. */
  signal(name: SignalName): void;
  /** SIGKILL for what is left of the group of a detached child, itself included. Right after `exited`: it ends grandchildren. */
  endGroup(): void;
}

export interface Processes {
  spawn(program: string, args: readonly string[], options: SpawnOptions): Promise<Child>;
  /** Null when no process with this id lives; a zombie has ended. */
  identify(pid: number): Promise<ProcessIdentity | null>;
  /**
   * A handle on a process that somebody else started. Null when it has ended, when its id names another process by now, or when
   * the machine was booted since. Its end is noticed within a tenth of a second; `exited` cannot say how.
   */
  adopt(identity: ProcessIdentity): Promise<Child | null>;
}

export function isSameProcess(one: ProcessIdentity, other: ProcessIdentity): boolean {
  return one.pid === other.pid && one.startTicks === other.startTicks && one.bootId === other.bootId;
}

export function formatExit(status: ExitStatus): string {
  if (status.signal !== null) return status.signal;
  return status.code === null ? 'ended, unseen' : `exit ${status.code}`;
}

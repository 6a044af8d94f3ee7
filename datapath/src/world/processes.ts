// Child processes, for launchers and supervisors.

export interface SpawnOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** stdout and stderr are appended to this file. */
  readonly logPath: string;
  readonly workingFolder?: string;
  /** The child outlives its parent. */
  readonly isDetached?: boolean;
}

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Child {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGINT'): void;
}

export interface Processes {
  spawn(program: string, args: readonly string[], options: SpawnOptions): Promise<Child>;
}

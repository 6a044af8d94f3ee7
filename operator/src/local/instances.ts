// What the local platform is told to run: a part of the plan's instances (plan/cluster-plan.ts fits), with the settings that daemons take
// over while they run. And what it reports of them. Paths are the simulated host's: see host-paths.ts.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LocalConductor {
  readonly ordinal: number;
  readonly node: string;
  readonly address: string;
  readonly port: number;
  readonly dataPath: string;
  readonly clusterName: string;
  readonly logLevel: LogLevel;
}

export interface LocalDisk {
  readonly path: string;
  /** Of a file, which is made when it is missing; null: it has to be there. */
  readonly sizeBytes: number | null;
}

export interface LocalStore {
  readonly node: string;
  readonly address: string;
  readonly dataPort: number;
  readonly managementPort: number;
  readonly failureDomain: string;
  readonly disks: readonly LocalDisk[];
  readonly servesLegacyClients: boolean;
  /** "host:port" each. */
  readonly conductors: readonly string[];
  readonly logLevel: LogLevel;
  readonly recoveryParallel: number;
}

/** A volume, served over NBD. */
export interface LocalFront {
  readonly volume: string;
  /** Unix socket, absolute on this machine. */
  readonly socketPath: string;
  readonly conductors: readonly string[];
}

export interface LocalInstances {
  readonly conductors: readonly LocalConductor[];
  readonly stores: readonly LocalStore[];
  readonly fronts: readonly LocalFront[];
}

export interface InstanceReport {
  /** "store/host-1". */
  readonly name: string;
  readonly kind: string;
  readonly isOnline: boolean;
  readonly pid: number | null;
  /** By the supervisor that runs now. */
  readonly restarts: number;
  /** How its last process ended, or why it cannot be started or changed. */
  readonly lastFailure: string | null;
  /** It runs with what is wanted. */
  readonly isCurrent: boolean;
  readonly logPath: string;
}

export const conductorName = (ordinal: number): string => `conductor/${ordinal}`;
export const storeName = (node: string): string => `store/${node}`;
export const frontName = (volume: string): string => `front/${volume}`;

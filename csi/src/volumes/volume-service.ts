// What the controller needs of a cluster. One implementation talks to a conductor (conductor-volumes.ts); tests have one in memory.
// Everything may be asked twice: what is done already is done.

export interface ServiceCall {
  readonly signal: AbortSignal;
  /** By the world's clock. */
  readonly deadlineMs: number;
}

export interface VolumeShape {
  readonly sizeBytes: number;
  readonly replicaCount: number;
}

export interface VolumeAttachment {
  readonly node: string;
  readonly isReadOnly: boolean;
  /** Writes beside others that are shared, too. */
  readonly isShared: boolean;
}

export interface ClusterVolume extends VolumeShape {
  readonly name: string;
  /** OK: all replicas. DEGRADED: served with fewer. ERROR: not served. */
  readonly health: 'OK' | 'DEGRADED' | 'ERROR';
  readonly attachments: readonly VolumeAttachment[];
}

export interface FreeSpace {
  /** Of each failure domain, in bytes. */
  readonly byDomain: readonly number[];
}

export interface VolumeService {
  /** Errors: ALREADY_EXISTS (whatever its shape), NO_SPACE, UNAVAILABLE. */
  create(name: string, shape: VolumeShape, call: ServiceCall): Promise<ClusterVolume>;
  /** Errors: NOT_FOUND, INVALID_STATE (attached). */
  delete(name: string, call: ServiceCall): Promise<void>;
  /** Null: there is none. */
  find(name: string, call: ServiceCall): Promise<ClusterVolume | null>;
  /** By name. */
  list(call: ServiceCall): Promise<readonly ClusterVolume[]>;
  /** The number of the attachment. Errors: NOT_FOUND (the volume, or the node), INVALID_STATE (another node writes it, unless both are shared). */
  attach(name: string, attachment: VolumeAttachment, call: ServiceCall): Promise<number>;
  /** When it resolves, nothing that this node still sends is written. Null: from every node. Error NOT_FOUND: the volume. */
  detach(name: string, node: string | null, call: ServiceCall): Promise<void>;
  /** Its size afterwards. Errors: NOT_FOUND, NO_SPACE. */
  grow(name: string, sizeBytes: number, call: ServiceCall): Promise<number>;
  freeSpace(call: ServiceCall): Promise<FreeSpace>;
  /** Error UNAVAILABLE when nobody answers. */
  check(call: ServiceCall): Promise<void>;
}

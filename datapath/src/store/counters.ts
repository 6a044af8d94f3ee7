// What a store counts: plain numbers that the hot path adds to, shown at /metrics. One object per store.

export class Counters {
  reads = 0;
  readBytes = 0;
  writes = 0;
  writeBytes = 0;
  trims = 0;
  flushes = 0;
  /** Requests answered with anything but OK, by wire status. */
  readonly refused = new Map<number, number>();
  replicaWrites = 0;
  replicaTrims = 0;
  grantsGiven = 0;
  grantsReceived = 0;
  readsParkedForGrants = 0;
  promotions = 0;
  promotedExtents = 0;
  recoveries = 0;
  recoveredExtents = 0;
  corruptReads = 0;
  healedBlocks = 0;
  replicasReported = 0;
  outOfSpaceOnReplica = 0;

  refuse(status: number): void {
    this.refused.set(status, (this.refused.get(status) ?? 0) + 1);
  }
}

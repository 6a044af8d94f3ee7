// The known mutations: each is a mistake that somebody could make, in the place where it would be made, and the simulator or a test must
// notice it. `find` occurs exactly once in its file; when that code is written anew, its mutation is written anew with it.
// Run by run-mutants.ts.

export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** What it breaks. */
  readonly why: string;
  /** First seed and count; the baseline's seeds by default, [1, 0] for none. */
  readonly seeds?: readonly [number, number];
  /** Test files that are tried before the seeds. */
  readonly tests?: readonly string[];
}

/** Seeds 1 to this pass without a mutation, and are what a mutation has to survive. */
export const BASELINE_SEEDS = 60;

const STORE = 'datapath/src/store';
const DISK = 'datapath/src/store/disk';
const NODE = 'datapath/src/world/node';
const STORIES = 'datapath/src/sim/cluster/cluster-stories.test.ts';

/** For what the simulated world has no part in. */
const NO_SEEDS: readonly [number, number] = [1, 0];

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'acknowledge before the secondaries have answered',
    file: `${STORE}/shard-operation.ts`,
    find: 'this.pending = 1 + links.length;',
    replace: 'this.pending = 1;',
    why: 'a write that only the primary has is lost with it',
  },
  {
    name: 'acknowledge before the redo log is durable',
    file: `${DISK}/redo-log.ts`,
    find: 'disk.writeVector(geometry.logOffset + (position % geometry.logBytes), vector, true, batch);',
    replace: 'disk.writeVector(geometry.logOffset + (position % geometry.logBytes), vector, false, batch);',
    why: 'a power cut of all replicas takes acknowledged writes back',
  },
  {
    name: 'redirected data is not made durable',
    file: `${DISK}/writer.ts`,
    find: 'this.#redirected = new WriteRun(state, true, this);',
    replace: 'this.#redirected = new WriteRun(state, false, this);',
    why: 'the log names an extent whose data a power cut has taken',
  },
  {
    name: 'a secondary ignores the meta version',
    file: `${STORE}/replica-requests.ts`,
    find: '(role.metaVersion & 0xffff) === (command.metaVersion & 0xffff) && !role.isClosing;',
    replace: '!role.isClosing;',
    why: 'an old primary still writes to the replicas of a new one',
    tests: [STORIES],
  },
  {
    name: 'a configuration that became due between two looks is forgotten',
    file: `${STORE}/shard.ts`,
    find: 'if (waitMs < Infinity) this.#timer',
    replace: 'if (waitMs > 0 && waitMs < Infinity) this.#timer',
    why: 'offered again before its timer fires, it is never taken, and the shard is never served',
    tests: [STORIES],
  },
  {
    name: 'a primary ignores the meta version',
    file: `${STORE}/dispatcher.ts`,
    find: 'if ((command.metaVersion & 0xffff) !== shard.servedMeta)',
    replace: 'if (shard.servedMeta < 0)',
    why: 'a request that was sent again can overtake a newer one',
    tests: [STORIES],
  },
  {
    name: 'ignore the attach epoch',
    file: `${STORE}/volumes.ts`,
    find: 'if (epoch === this.attachEpoch) return STATUS_OK;',
    replace: 'if (epoch <= this.attachEpoch) return STATUS_OK;',
    why: 'a writer that was replaced goes on writing',
  },
  {
    name: 'a trim leaves the written bits',
    file: `${DISK}/trimmer.ts`,
    find: 'words[at + BITMAP] = written & ~mask;',
    replace: 'words[at + BITMAP] = written;',
    why: 'trimmed blocks do not read as zeros',
  },
  {
    name: 'serve reads without promises',
    file: `${STORE}/shard-operation.ts`,
    find: 'if (shard.host.world.clock.now() >= shard.role.grantedUntil) return shard.park(this);',
    replace: '',
    why: 'a primary that was replaced without knowing it serves stale reads',
    tests: [STORIES],
  },
  {
    name: 'a secondary forgets its promise to the old primary',
    file: `${STORE}/shard-role.ts`,
    find: 'primaryStore(config) !== primaryStore(this.#held) ? this.#promisedUntil : -Infinity;',
    replace: 'primaryStore(config) !== primaryStore(this.#held) ? -Infinity : -Infinity;',
    why: 'two primaries serve reads at the same time',
    tests: [STORIES],
  },
  {
    name: 'skip the comparison of a promotion',
    file: `${STORE}/promotion.ts`,
    find: 'const results = await Promise.all(links.map((link) => makeEqual(link, above, isCurrent)));',
    replace: 'const results: (number | null)[] = [];',
    why: 'in-sync replicas differ in what the old primary had under way',
    tests: [STORIES],
  },
  {
    name: 'promote a replica that is out of sync',
    file: 'datapath/src/conductor/plan/shard-plan.ts',
    find: "statuses.flatMap((status, index) => (status === 'IN_SYNC' && liveness[index] === wanted ? [index] : []));",
    replace: 'statuses.flatMap((_status, index) => (liveness[index] === wanted ? [index] : []));',
    why: 'acknowledged writes disappear with a failover',
  },
  {
    name: 'recovery skips an extent',
    file: `${STORE}/recovery.ts`,
    find: 'forEachParallel(result.differing, SYNC_DEPTH,',
    replace: 'forEachParallel(result.differing.slice(1), SYNC_DEPTH,',
    why: 'a recovered replica has holes',
  },
  {
    name: 'recovery reports before it has copied',
    file: `${STORE}/replicator.ts`,
    find: 'const end = await recoverReplica(link, isCurrent);',
    replace:
      "const end = await Promise.race([recoverReplica(link, isCurrent), this.world.clock.sleep(1).then(() => 'done' as const)]);",
    why: 'a replica is in sync before it holds everything',
  },
  {
    name: 'the range lock is released when the write begins',
    file: `${STORE}/shard-operation.ts`,
    find: 'if (links.length > 0) this.#sendToAll(shard, links);',
    replace: 'this.#releaseLock();\n    if (links.length > 0) this.#sendToAll(shard, links);',
    why: 'overlapping writes reach the replicas in different orders',
  },
  {
    name: 'a freed extent is taken again before the log says so',
    file: `${DISK}/redo-log.ts`,
    find: 'this.#state.counters.logBatches += 1;',
    replace: 'this.#listener.batchComplete(batch);\n    batch.heldCount = 0;',
    why: 'after a power cut an extent has the bytes of its next owner',
    tests: [`${DISK}/power-cut.test.ts`],
  },
  {
    name: 'the checkpoint does not flush the table',
    file: `${DISK}/checkpoint.ts`,
    find: 'if (state.failure !== null) throw state.failure;\n    await flushDisk(state);\n    const head',
    replace: 'if (state.failure !== null) throw state.failure;\n    const head',
    why: 'the log is given up before the table is durable',
    tests: [`${DISK}/power-cut.test.ts`],
  },
  {
    name: 'a fenced client attaches again',
    file: 'datapath/src/volume/shard-router.ts',
    find: 'if (verdict === FENCED && !this.#options.isReadOnly) this.#fail(this.#fencedError());',
    replace: 'if (verdict === FENCED) piece.attachEpoch = this.#attachEpoch += 1;',
    why: 'two writers take turns, and neither knows',
  },
  {
    name: 'the conductor answers before it has persisted',
    file: 'datapath/src/consensus/embedded-engine.ts',
    find: 'await this.#log.append(batch.map((proposal) => proposal.bytes));',
    replace: 'void this.#log.append(batch.map((proposal) => proposal.bytes)).catch(() => undefined);',
    why: 'a conductor that crashes forgets a configuration that stores act on',
  },
  {
    name: 'a store that restarted serves as primary at once',
    file: `${STORE}/shard-role.ts`,
    find: 'return mustForget ? Math.max(until, this.#startedAt + GRANT_MS) : until;',
    replace: 'return until;',
    why: 'a promise that was given before the restart is broken',
    tests: [STORIES],
  },
  {
    name: 'a block with a wrong checksum is served',
    file: `${DISK}/reader.ts`,
    find: 'if (this.#state.memory.crc32c(span.memory + (at - span.start), BLOCK_BYTES, 0) !== expected) return false;',
    replace: '',
    why: 'rotten bytes reach the client',
    tests: [STORIES],
  },
  {
    name: 'a lost connection counts as an answer',
    file: 'datapath/src/volume/retry.ts',
    find: 'if (status === STATUS_OK) return DONE;',
    replace: 'if (status === STATUS_OK || status === STATUS_CONNECTION_LOST) return DONE;',
    why: 'a write that nobody has is acknowledged',
  },
  {
    name: 'recovery does not wait for writes from before',
    file: `${STORE}/recovery.ts`,
    find: 'await passBarrier(shard);',
    replace: 'void passBarrier;',
    why: 'a write that began before the replica got writes is missing there',
    tests: [STORIES],
  },
  {
    name: 'a write without space on a secondary is not taken back',
    file: `${STORE}/shard-operation.ts`,
    find: 'if (!this.hasNoSpace || this.isStopped) {',
    replace: 'if (this.hasNoSpace) this.#status = STATUS_NO_SPACE;\n      if (this.pending === 0) {',
    why: 'replicas differ after a refused write',
    tests: [`${STORE}/space.test.ts`],
  },
  {
    name: 'a new connection is served before the old one has ended',
    file: 'datapath/src/wire/server-session.ts',
    find: 'if (!this.#host.enlist(this)) return;',
    replace: 'this.#host.enlist(this);',
    why: 'what a client had sent on its old connection lands after what it sends on the new one',
    tests: ['datapath/src/wire/listener.test.ts'],
  },
  {
    name: 'a configuration is changed by a plan for an older one',
    file: 'datapath/src/conductor/state/apply.ts',
    find: 'if (change.metaVersion !== shard.metaVersion)',
    replace: 'if (change.metaVersion > shard.metaVersion)',
    why: 'a replica that has failed meanwhile is in sync again',
    tests: ['datapath/src/conductor/state/apply.test.ts'],
  },
  {
    name: 'replay takes redirects whose data is missing',
    file: `${DISK}/replay.ts`,
    find: 'if (await isDataThere(state, physical, batch.meta, record + 3, scratch)) continue;',
    replace: 'await isDataThere(state, physical, batch.meta, record + 3, scratch);\n        if (physical >= 0) continue;',
    why: 'a write that was never acknowledged has destroyed what was there before',
    tests: [`${DISK}/power-cut.test.ts`],
  },
  {
    name: 'the last in-sync replica is taken out',
    file: 'datapath/src/conductor/handlers/store-reports.ts',
    find: "status === 'IN_SYNC' && replicaLiveness(context.monitor, shard.replicas[index]!) === 'LIVE' ? [index] : [],",
    replace: 'index !== replicaIndex && status.length > 0 ? [index] : [],',
    why: 'a stale replica becomes primary',
    tests: ['datapath/src/conductor/conductor.test.ts'],
  },
  {
    name: 'NBD forgets the FUA of a request',
    file: 'datapath/src/nbd/transmission.ts',
    find: 'block.flags = (head.flags & p.CMD_FLAG_FUA) !== 0 ? FLAG_FUA : 0;',
    replace: 'block.flags = 0;',
    why: 'a write that a journal relies on is answered before it is durable',
    seeds: NO_SEEDS,
    tests: ['datapath/src/nbd/transmission.test.ts'],
  },
  {
    name: 'a discard with FUA is not flushed',
    file: 'datapath/src/block/disk-device.ts',
    find: 'done.isFlushNext = isDurable;',
    replace: 'done.isFlushNext = false;',
    why: 'after a power cut there is what was trimmed or zeroed',
    seeds: NO_SEEDS,
    tests: ['datapath/src/block/disk-device.test.ts'],
  },
  {
    name: 'the ring writes durably without telling the kernel',
    file: `${NODE}/ring-disk.ts`,
    find: 'memoryOffset, length, isDurable ? RWF_DSYNC : 0, done);',
    replace: 'memoryOffset, length, 0, done);',
    why: 'a power cut takes back what was acknowledged',
    seeds: NO_SEEDS,
    tests: [`${NODE}/ring-disk.test.ts`],
  },
  {
    name: 'the ring answers a flush without a sync',
    file: `${NODE}/ring-disk.ts`,
    find: 'else this.#take().start(this, OP_FSYNC, this.#fd, 0, 0, 0, FSYNC_DATASYNC, done);',
    replace: 'else this.#refuse(0, done);',
    why: 'a power cut takes back what was flushed',
    seeds: NO_SEEDS,
    tests: [`${NODE}/ring-disk.test.ts`],
  },
  {
    name: 'the ring sends a short gathered write again from its start',
    file: `${NODE}/ring-disk.ts`,
    find: 'if (this.#opcode === OP_WRITEV) this.#advanceVector(moved);',
    replace: 'if (this.#opcode === OP_WRITEV) return;',
    why: 'the rest of the range gets the bytes of its beginning',
    seeds: NO_SEEDS,
    tests: [`${NODE}/ring-disk.test.ts`],
  },
  {
    name: 'a POST is sent again after a lost connection',
    file: `${NODE}/http-client.ts`,
    find: "connection.wasLostBeforeAnswer && call.method === 'GET' && attempt < 3",
    replace: 'connection.wasLostBeforeAnswer && attempt < 3',
    why: 'what the server did before it was lost is done twice',
    seeds: NO_SEEDS,
    tests: [`${NODE}/http-client.test.ts`],
  },
  {
    name: 'a connection that is to be closed is used again',
    file: `${NODE}/http-client.ts`,
    find: 'if (!connection.canBeReused || idle.length >= MAX_IDLE_PER_SERVER) connection.close();',
    replace: 'if (idle.length >= MAX_IDLE_PER_SERVER) connection.close();',
    why: 'the next request goes to a server that does not listen any more',
    seeds: NO_SEEDS,
    tests: [`${NODE}/http-client.test.ts`],
  },
  {
    name: 'a read at the disk counts as answered',
    file: `${STORE}/shard-operation.ts`,
    find: '    this.pending = 1;\n    this.busy = 1;\n    if (shard.links.length > 0) {',
    replace: '    this.busy = 1;\n    if (shard.links.length > 0) {',
    why: 'a read is answered before its bytes are there, with what lay in the memory',
    seeds: [902, 3],
  },
  {
    name: 'a repaired read runs without its checks',
    file: `${STORE}/shard-operation.ts`,
    find: "if (outcome === 'repaired') this.#readAgain();",
    replace: "if (outcome === 'repaired') this.begin(this.shard!, this.command!);",
    why: 'a read parks for ever on a shard that is served elsewhere, and holds up its next promotion',
    seeds: NO_SEEDS,
    tests: [`${STORE}/failing-disk.test.ts`],
  },
  {
    name: 'a volume that grew keeps its size in the stores that have it open',
    file: `${STORE}/volumes.ts`,
    find: 'volume.sizeBytes = Math.max(volume.sizeBytes, config.volume_size);',
    replace: '',
    why: 'clients use what the conductor has promised, and every request there fails',
  },
  {
    name: 'a shard that grew keeps its meta version',
    file: 'datapath/src/conductor/state/apply-volume.ts',
    find: '{ ...last, metaVersion: last.metaVersion + 1 }',
    replace: 'last',
    why: 'a primary that knows the new size writes to a secondary that does not, which is taken out for its refusal',
    seeds: NO_SEEDS,
    tests: ['datapath/src/conductor/state/apply-volume.test.ts'],
  },
  {
    name: 'a detachment is answered before the old writer is fenced',
    file: 'datapath/src/conductor/handlers/attachments.ts',
    find: 'const isFenced = (): boolean => firstUnready(context, volume.id, epoch) === null;',
    replace: 'const isFenced = (): boolean => true;',
    why: 'two nodes write to one volume',
    seeds: NO_SEEDS,
    tests: ['datapath/src/conductor/volume-life.test.ts'],
  },
  {
    name: 'a conductor that was cut off believes everybody dead',
    file: 'datapath/src/conductor/monitor.ts',
    find: 'if (this.#wasDeaf()) this.#startOver();',
    replace: '',
    why: 'the first store that is heard again becomes the only in-sync replica of everything',
    seeds: NO_SEEDS,
    tests: ['datapath/src/conductor/conductor.test.ts'],
  },
  {
    name: 'a lost log batch is taken for a torn one',
    file: `${DISK}/log-reader.ts`,
    find: ' || batch.completeThrough >= firstMissing',
    replace: '',
    why: 'the batch behind it, which was acknowledged, vanishes without an error',
    seeds: NO_SEEDS,
    tests: [`${DISK}/open-disk.test.ts`],
  },
];

// Who has a volume open for writing: open_volume, close_volume, detach_volume.
//
//   nobody --open(client): epoch + 1--> attached --close with that epoch--> nobody
//                                          |  ^--open(another): epoch + 1, the one before is fenced
//                                          '--detach: epoch + 1, and when the primaries hold it--> nobody
//
// A client that dies stays recorded: nobody knows whether it still writes until its epoch is over.
import { PfError } from '../../base/errors.ts';
import type { OpenVolumeReply, ReleaseVolumeReply } from '../../api/model.ts';
import type { CloseVolumeParams, DetachVolumeParams, OpenVolumeParams } from '../../api/routes.ts';
import { proposeOrThrow, volumeOf, type ConductorContext } from '../context.ts';
import type { VolumeRecord } from '../state/cluster-state.ts';
import { volumeConfig } from '../state/queries.ts';
import { firstUnready, PRIMARIES_DEADLINE_MS } from './primaries.ts';

/** For writing: raises the epoch, and answers when every primary holds it. For reading, or again with the epoch held: answers at once. */
export async function openVolume(context: ConductorContext, params: OpenVolumeParams): Promise<OpenVolumeReply> {
  const volume = volumeOf(context, params.volume_name);
  if (params.attach_epoch !== null) checkEpoch(volume, params.attach_epoch);
  else if (!params.read_only) await openForWriting(context, volume, params.client);
  // The layout as of now: it may have changed while the primaries were asked.
  const current = context.state.volumes.get(volume.id);
  if (current === undefined) throw new PfError('NOT_FOUND', `volume "${volume.name}" was deleted while it was being opened`);
  return { op: 'open_volume_reply', ret_code: 0, ...volumeConfig(context.state, context.monitor, current) };
}

function checkEpoch(volume: VolumeRecord, epoch: number): void {
  if (volume.attachEpoch === epoch) return;
  throw new PfError(
    'FENCED',
    `volume "${volume.name}" has attach epoch ${volume.attachEpoch}, not ${epoch}: another client has attached it since`,
  );
}

async function openForWriting(context: ConductorContext, volume: VolumeRecord, client: string): Promise<void> {
  const epoch = await proposeOrThrow(context, { kind: 'raise_epoch', volumeId: volume.id, client });
  if (volume.attachedTo !== null && volume.attachedTo !== client)
    context.world.log.info(`volume ${volume.name} goes from ${volume.attachedTo} to ${client} with attach epoch ${epoch}`);
  const isReady = (): boolean => firstUnready(context, volume.id, epoch) === null;
  if (await context.changed.until(isReady, PRIMARIES_DEADLINE_MS)) return;
  const shard = firstUnready(context, volume.id, epoch);
  throw new PfError(
    'UNAVAILABLE',
    `cannot open volume "${volume.name}": the primary of shard ${shard} did not take attach epoch ${epoch} within ${PRIMARIES_DEADLINE_MS} ms; check its stores with list_store`,
  );
}

/** Whoever attached it since, and a volume that has got the name since, are left alone. */
export async function closeVolume(context: ConductorContext, params: CloseVolumeParams): Promise<ReleaseVolumeReply> {
  const volume = volumeOf(context, params.volume_name);
  const isSame = params.volume_id === 0 || params.volume_id === volume.id;
  if (isSame && params.attach_epoch > volume.attachEpoch) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot close volume "${volume.name}" with attach epoch ${params.attach_epoch}: it has ${volume.attachEpoch}; give the epoch that its opening answered`,
    );
  }
  if (isSame && volume.attachedTo !== null && params.attach_epoch === volume.attachEpoch)
    await release(context, volume.id, params.attach_epoch);
  return released(context, volume, 'close_volume_reply');
}

/**
 * Takes the volume away from whoever has it attached (with `client`: from that one only): when this answers, no request of the old writer
 * succeeds any more.
 */
export async function detachVolume(context: ConductorContext, params: DetachVolumeParams): Promise<ReleaseVolumeReply> {
  const volume = volumeOf(context, params.volume_name);
  const { attachedTo } = volume;
  if (attachedTo !== null && (params.client === '' || params.client === attachedTo)) {
    const outcome = await context.engine.propose({ kind: 'raise_epoch', volumeId: volume.id, takenFrom: attachedTo });
    // It was closed, or went to another client, a moment ago: the answer says so.
    if (!outcome.isAccepted) return released(context, volume, 'detach_volume_reply');
    const epoch = outcome.value;
    const isFenced = (): boolean => firstUnready(context, volume.id, epoch) === null;
    if (!(await context.changed.until(isFenced, PRIMARIES_DEADLINE_MS))) {
      throw new PfError(
        'UNAVAILABLE',
        `cannot detach volume "${volume.name}" from "${attachedTo}" yet: the primary of shard ${firstUnready(context, volume.id, epoch)} did not take attach epoch ${epoch} within ${PRIMARIES_DEADLINE_MS} ms; check its stores with list_store and detach it again`,
      );
    }
    await release(context, volume.id, epoch);
  }
  return released(context, volume, 'detach_volume_reply');
}

/** Refused, and rightly so, when somebody has opened the volume for writing meanwhile, or deleted it. */
async function release(context: ConductorContext, volumeId: number, attachEpoch: number): Promise<void> {
  const outcome = await context.engine.propose({ kind: 'release_volume', volumeId, attachEpoch });
  if (!outcome.isAccepted) context.world.log.info(`volume ${volumeId} was not released: ${outcome.reason}`);
}

function released(context: ConductorContext, { id, name }: VolumeRecord, op: string): ReleaseVolumeReply {
  const volume = context.state.volumes.get(id);
  return { op, ret_code: 0, volume_name: name, attach_epoch: volume?.attachEpoch ?? 0, attached_to: volume?.attachedTo ?? null };
}

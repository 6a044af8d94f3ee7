// Who uses a volume: attach_volume, open_volume, close_volume, detach_volume.
//
//   nobody --attach(client): epoch + 1--> attached --open with the attachment: epoch + 1, the opening before is fenced--.
//      |                                     |  ^-----------------------------------------------------------------------'
//      |                                     '--detach: epoch + 1, and when the primaries hold it--> nobody
//      '--open(client): epoch + 1--> attached --close with that epoch--> nobody
//                                       ^--open(another): epoch + 1, the one before is fenced
//
// Who opens without having attached takes the volume; who attaches never does. A client that dies stays recorded: nobody knows whether it
// still writes until its epoch is over.
import { PfError } from '../../base/errors.ts';
import type { AttachVolumeReply, OpenVolumeReply, ReleaseVolumeReply } from '../../api/model.ts';
import type { AttachVolumeParams, CloseVolumeParams, DetachVolumeParams, OpenVolumeParams } from '../../api/routes.ts';
import { proposeOrThrow, volumeOf, type ConductorContext } from '../context.ts';
import {
  attachmentOf,
  attachmentOver,
  isInForce,
  isLatestOpening,
  isSameMode,
  writerOf,
  writersOf,
} from '../state/attachments.ts';
import type { AttachmentRecord, VolumeRecord } from '../state/cluster-state.ts';
import { volumeConfig } from '../state/queries.ts';
import { firstUnready, PRIMARIES_DEADLINE_MS } from './primaries.ts';

/** Answers at once: the epoch that a new writer gets is in force at the primaries when it opens the volume. */
export async function attachVolume(context: ConductorContext, params: AttachVolumeParams): Promise<AttachVolumeReply> {
  const { id } = volumeOf(context, params.volume_name);
  const { client, read_only: isReadOnly, shared: isShared } = params;
  const held = attachmentOf(context.state.volumes.get(id)!, client);
  const isHeld = held !== undefined && isSameMode(held, isReadOnly, isShared) && held.isEnding !== true;
  const mode = { isReadOnly, ...(isShared ? { isShared } : {}) };
  const attachment = isHeld
    ? held.number
    : await proposeOrThrow(context, { kind: 'attach_volume', volumeId: id, client, ...mode });
  const volume = existing(context, id, params.volume_name);
  return {
    op: 'attach_volume_reply',
    ret_code: 0,
    volume_name: volume.name,
    volume_id: id,
    size: volume.sizeBytes,
    attachment,
    attach_epoch: volume.attachEpoch,
  };
}

/** For writing: raises the epoch, and answers when every primary holds it. For reading, or again with the epoch held: answers at once. */
export async function openVolume(context: ConductorContext, params: OpenVolumeParams): Promise<OpenVolumeReply> {
  const volume = volumeOf(context, params.volume_name);
  const { attachment } = params;
  let epoch: number | null = params.attach_epoch ?? params.opening;
  if (epoch === null && !params.read_only) epoch = await openForWriting(context, volume, params);
  else if (attachment !== null && !isInForce(volume, attachment, params.client, true))
    throw new PfError('FENCED', attachmentOver(volume, attachment, params.client));
  // The layout as of now: it may have changed while the primaries were asked.
  const current = existing(context, volume.id, volume.name);
  const isShared = attachment !== null && epoch !== null && isLatestOpening(current, attachment, epoch);
  // Somebody else's epoch is no answer: with it a client that has lost the volume would go on.
  if (epoch !== null && !isShared) checkEpoch(current, epoch);
  if (params.opening !== null && !isShared) throw new PfError('FENCED', replacedOpening(current, params));
  const opening = isShared ? epoch : null;
  return { op: 'open_volume_reply', ret_code: 0, ...volumeConfig(context.state, context.monitor, current), opening };
}

function replacedOpening(volume: VolumeRecord, { attachment, opening, client }: OpenVolumeParams): string {
  return `opening ${opening} of volume "${volume.name}" by "${client}" is not the latest one of attachment ${attachment}: another process of that client has opened it since`;
}

function existing(context: ConductorContext, id: number, name: string): VolumeRecord {
  const volume = context.state.volumes.get(id);
  if (volume === undefined) throw new PfError('NOT_FOUND', `volume "${name}" was deleted meanwhile`);
  return volume;
}

function checkEpoch(volume: VolumeRecord, epoch: number): void {
  if (volume.attachEpoch === epoch) return;
  throw new PfError(
    'FENCED',
    `volume "${volume.name}" has attach epoch ${volume.attachEpoch}, not ${epoch}: another client has attached it since`,
  );
}

/** The epoch raised. With an attachment only while it lasts; without one the client takes the volume. */
async function openForWriting(context: ConductorContext, volume: VolumeRecord, params: OpenVolumeParams): Promise<number> {
  const { client, attachment } = params;
  const proof = attachment === null ? { client } : { client, attachment };
  const epoch = await proposeOrThrow(context, { kind: 'raise_epoch', volumeId: volume.id, ...proof });
  const writer = writerOf(volume);
  if (attachment === null && writer !== null && writer !== client)
    context.world.log.info(`volume ${volume.name} goes from ${writer} to ${client} with attach epoch ${epoch}`);
  const isReady = (): boolean => firstUnready(context, volume.id, epoch) === null;
  if (await context.changed.until(isReady, PRIMARIES_DEADLINE_MS)) return epoch;
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
  if (isSame && writerOf(volume) !== null && params.attach_epoch === volume.attachEpoch)
    await release(context, volume.id, params.attach_epoch);
  return released(context, volume, 'close_volume_reply');
}

/**
 * Takes the volume away from whoever writes it (with `client`: from that one only, also when it reads): when this answers, no request of
 * the old writer succeeds any more.
 */
export async function detachVolume(context: ConductorContext, params: DetachVolumeParams): Promise<ReleaseVolumeReply> {
  const volume = volumeOf(context, params.volume_name);
  if (attachmentOf(volume, params.client)?.isReadOnly === true)
    await proposeOrThrow(context, { kind: 'release_reader', volumeId: volume.id, client: params.client });
  const writers = writersOf(volume);
  const held = writers.filter((each) => params.client === '' || params.client === each.client);
  for (const each of held) await takeAway(context, volume, each);
  // Somebody else has it: perhaps he took it from this client a moment ago, and no primary knows yet.
  const isTaken = held.length === 0 && writers.length > 0;
  if (isTaken) await untilFenced(context, volume, params.client, volume.attachEpoch);
  return released(context, volume, 'detach_volume_reply');
}

/** Its attachment opens nothing from the first step on, and has ended with the last. */
async function takeAway(context: ConductorContext, { id, name }: VolumeRecord, held: AttachmentRecord): Promise<void> {
  const { client: takenFrom, number: attachment } = held;
  const outcome = await context.engine.propose({ kind: 'raise_epoch', volumeId: id, takenFrom, attachment });
  // Refused: it was closed, or somebody took the volume, a moment ago. That raised the epoch, too.
  const epoch = outcome.isAccepted ? outcome.value : (context.state.volumes.get(id)?.attachEpoch ?? 0);
  await untilFenced(context, { id, name }, takenFrom, epoch);
  const ended = await context.engine.propose({ kind: 'end_attachment', volumeId: id, attachment });
  if (!ended.isAccepted) context.world.log.info(`attachment ${attachment} had ended: ${ended.reason}`);
}

/** Until the primaries of all shards hold that epoch. Error UNAVAILABLE. */
async function untilFenced(
  context: ConductorContext,
  { id, name }: Pick<VolumeRecord, 'id' | 'name'>,
  client: string,
  epoch: number,
): Promise<void> {
  const isFenced = (): boolean => firstUnready(context, id, epoch) === null;
  if (await context.changed.until(isFenced, PRIMARIES_DEADLINE_MS)) return;
  throw new PfError(
    'UNAVAILABLE',
    `cannot detach volume "${name}" from "${client}" yet: the primary of shard ${firstUnready(context, id, epoch)} did not take attach epoch ${epoch} within ${PRIMARIES_DEADLINE_MS} ms; check its stores with list_store and detach it again`,
  );
}

/** Refused, and rightly so, when somebody has opened the volume for writing meanwhile, or deleted it. */
async function release(context: ConductorContext, volumeId: number, attachEpoch: number): Promise<void> {
  const outcome = await context.engine.propose({ kind: 'release_volume', volumeId, attachEpoch });
  if (!outcome.isAccepted) context.world.log.info(`volume ${volumeId} was not released: ${outcome.reason}`);
}

function released(context: ConductorContext, { id, name }: VolumeRecord, op: string): ReleaseVolumeReply {
  const volume = context.state.volumes.get(id);
  const held = { attach_epoch: volume?.attachEpoch ?? 0, attached_to: volume === undefined ? null : writerOf(volume) };
  return { op, ret_code: 0, volume_name: name, ...held };
}

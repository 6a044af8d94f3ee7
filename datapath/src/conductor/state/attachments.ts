// Who uses a volume, and which machines may, as the cluster remembers it. The reducer's part: pure, called by apply.ts.
//
// One attachment writes, or several that are shared. A writer is fenced by the attach epoch, which rises whenever the writer changes, one is taken
// away, or one opens the volume again. Shared writers follow the epoch: each may ask for the one in force as long as its attachment lasts and
// nobody has opened the volume with it since. A reader needs no fence; it is remembered so that a volume in use is not deleted, and that lists are exact.
// An attachment has a number that no other one of the cluster ever gets: who comes back with it after a restart proves that nobody else has
// had the volume in between, and that it is the same volume, whatever is called so now.
import type { AttachmentRecord, ClusterState, VolumeRecord } from './cluster-state.ts';
import { withVolume } from './cluster-state.ts';
import type { Command } from './commands.ts';
import { accepted, refused, type Applied } from './outcome.ts';

type KindOf<K extends Command['kind']> = Extract<Command, { kind: K }>;

/** The client that writes (of several the one that began first), or null. */
export function writerOf(volume: VolumeRecord): string | null {
  return writersOf(volume)[0]?.client ?? null;
}

export function writersOf(volume: VolumeRecord): readonly AttachmentRecord[] {
  return volume.attachments.filter((each) => !each.isReadOnly);
}

export function attachmentOf(volume: VolumeRecord, client: string): AttachmentRecord | undefined {
  return volume.attachments.find((each) => each.client === client);
}

export function isSameMode(held: AttachmentRecord, isReadOnly: boolean, isShared: boolean): boolean {
  return held.isReadOnly === isReadOnly && (held.isShared ?? false) === isShared;
}

/** Asked again it answers the same number and changes nothing. Never takes a volume away from another writer. */
export function attachVolume(state: ClusterState, command: KindOf<'attach_volume'>): Applied {
  const volume = state.volumes.get(command.volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${command.volumeId} does not exist`);
  const { client, isReadOnly, isShared = false } = command;
  const held = attachmentOf(volume, client);
  const action = `cannot attach volume "${volume.name}" to "${client}" for ${modeOf({ isReadOnly, isShared })}`;
  if (isReadOnly && isShared) return refused(state, 'INVALID_ARGUMENT', `${action}: who reads shares it with everybody anyway`);
  if (held?.isEnding === true) return refused(state, 'INVALID_STATE', `${action}: it is being detached there; wait for that`);
  if (held !== undefined && isSameMode(held, isReadOnly, isShared)) return accepted(state, held.number);
  if (held !== undefined)
    return refused(state, 'INVALID_STATE', `${action}: it has it for ${modeOf(held)}; detach it there first`);
  if (!state.nodes.has(client))
    return refused(state, 'NOT_FOUND', `${action}: no such node is known; start pfnbd there, or look at list_node`);
  const other = isReadOnly ? undefined : writersOf(volume).find((each) => !isShared || each.isShared !== true);
  if (other !== undefined)
    return refused(state, 'INVALID_STATE', `${action}: "${other.client}" has it for ${modeOf(other)}; detach it there first`);
  // Beside shared writers nobody has to be fenced.
  const isFirst = !isReadOnly && writerOf(volume) === null;
  const attachEpoch = isFirst ? volume.attachEpoch + 1 : volume.attachEpoch;
  const attached = withAttachment(state, { ...volume, attachEpoch }, client, isReadOnly, isShared);
  return accepted(attached, attached.lastAttachment);
}

/**
 * `client` alone: becomes the writer with a new attachment, whoever was it before. `client` and `attachment`: only while that is the client's
 * writing attachment. `takenFrom`: only while that one writes, and it opens nothing any more. With none of them (an older log) nothing else
 * changes.
 */
export function raiseEpoch(state: ClusterState, command: KindOf<'raise_epoch'>): Applied {
  const volume = state.volumes.get(command.volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${command.volumeId} does not exist`);
  const { client, takenFrom, attachment } = command;
  const raised = { ...volume, attachEpoch: volume.attachEpoch + 1 };
  if (takenFrom !== undefined) {
    const isMeant = (each: AttachmentRecord): boolean => attachment === undefined || each.number === attachment;
    const held = writersOf(volume).find((each) => each.client === takenFrom && isMeant(each));
    const now = writersOf(volume).map((each) => `"${each.client}"`);
    const reason = `volume "${volume.name}" is attached to ${now.join(', ') || 'nobody'}, not to "${takenFrom}" any more`;
    if (held === undefined) return refused(state, 'INVALID_STATE', reason);
    return accepted(withVolume(state, withChanged(raised, held, { isEnding: true })), raised.attachEpoch);
  }
  if (attachment !== undefined) {
    if (!isInForce(volume, attachment, client, false))
      return refused(state, 'FENCED', attachmentOver(volume, attachment, client));
    const held = volume.attachments.find((each) => each.number === attachment)!;
    const next = held.isShared === true ? withChanged(raised, held, { opening: raised.attachEpoch }) : raised;
    return accepted(withVolume(state, next), raised.attachEpoch);
  }
  const alone = { ...raised, attachments: raised.attachments.filter((each) => each.isReadOnly) };
  const next = client === undefined ? withVolume(state, raised) : withAttachment(state, alone, client, false, false);
  return accepted(next, raised.attachEpoch);
}

/** This client may open the volume with it. A writer's opens it for reading, too. */
export function isInForce(volume: VolumeRecord, number: number, client: string | undefined, isReadOnly: boolean): boolean {
  const found = volume.attachments.find((each) => each.number === number);
  return found !== undefined && found.client === client && found.isEnding !== true && (isReadOnly || !found.isReadOnly);
}

export function attachmentOver(volume: VolumeRecord, number: number, client: string | undefined): string {
  return `attachment ${number} of volume "${volume.name}" to "${client ?? 'unknown'}" is over, or never was; attach it again`;
}

/** The shared attachment lasts, and its latest opening was the one that raised this epoch, so it may go on with whatever epoch is in force. */
export function isLatestOpening(volume: VolumeRecord, number: number, opening: number): boolean {
  const held = volume.attachments.find((each) => each.number === number);
  return held?.isShared === true && held.isEnding !== true && held.opening === opening;
}

/** Only one that is ending: the others' requests may still succeed. */
export function endAttachment(state: ClusterState, command: KindOf<'end_attachment'>): Applied {
  const volume = state.volumes.get(command.volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${command.volumeId} does not exist`);
  const held = volume.attachments.find((each) => each.number === command.attachment);
  if (held?.isEnding !== true)
    return refused(state, 'INVALID_STATE', `attachment ${command.attachment} of volume "${volume.name}" is not ending`);
  return accepted(withVolume(state, { ...volume, attachments: volume.attachments.filter((each) => each !== held) }), 0);
}

/** The holder of this epoch has let go of the volume. */
export function releaseVolume(state: ClusterState, command: KindOf<'release_volume'>): Applied {
  const volume = state.volumes.get(command.volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${command.volumeId} does not exist`);
  if (volume.attachEpoch !== command.attachEpoch) {
    return refused(
      state,
      'INVALID_STATE',
      `volume "${volume.name}" has attach epoch ${volume.attachEpoch}, not ${command.attachEpoch}: it was attached again since`,
    );
  }
  // The epoch says nothing of shared writers: they follow it.
  const attachments = volume.attachments.filter((each) => each.isReadOnly || each.isShared === true);
  return accepted(withVolume(state, { ...volume, attachments }), 0);
}

/** A reader has let go of the volume, or never had it. */
export function releaseReader(state: ClusterState, command: KindOf<'release_reader'>): Applied {
  const volume = state.volumes.get(command.volumeId);
  if (volume === undefined) return refused(state, 'NOT_FOUND', `volume ${command.volumeId} does not exist`);
  const attachments = volume.attachments.filter((each) => each.client !== command.client || !each.isReadOnly);
  return accepted(withVolume(state, { ...volume, attachments }), 0);
}

export function putNode(state: ClusterState, { node }: KindOf<'put_node'>): Applied {
  if (state.nodes.get(node.name)?.version === node.version) return accepted(state, 0);
  return accepted({ ...state, nodes: new Map(state.nodes).set(node.name, node) }, 0);
}

/** Not while it has a volume attached: nobody would know any more that it may still write. */
export function removeNode(state: ClusterState, { name }: KindOf<'remove_node'>): Applied {
  if (!state.nodes.has(name)) return refused(state, 'NOT_FOUND', `node "${name}" is not known`);
  const held = [...state.volumes.values()].find((volume) => attachmentOf(volume, name) !== undefined);
  if (held !== undefined)
    return refused(
      state,
      'INVALID_STATE',
      `cannot remove node "${name}": it has volume "${held.name}" attached; detach it with detach_volume first`,
    );
  const nodes = new Map(state.nodes);
  nodes.delete(name);
  return accepted({ ...state, nodes }, 0);
}

const modeOf = ({ isReadOnly, isShared = false }: { readonly isReadOnly: boolean; readonly isShared?: boolean }): string =>
  isReadOnly ? 'reading' : isShared ? 'shared writing' : 'writing';

function withChanged(volume: VolumeRecord, held: AttachmentRecord, change: Partial<AttachmentRecord>): VolumeRecord {
  return { ...volume, attachments: volume.attachments.map((each) => (each === held ? { ...each, ...change } : each)) };
}

/** A client has one attachment: a reader that becomes the writer is a reader no more. */
function withAttachment(
  state: ClusterState,
  volume: VolumeRecord,
  client: string,
  isReadOnly: boolean,
  isShared: boolean,
): ClusterState {
  const number = state.lastAttachment + 1;
  const others = volume.attachments.filter((each) => each.client !== client);
  const attached: AttachmentRecord = { number, client, isReadOnly, ...(isShared ? { isShared } : {}) };
  const attachments = [...others, attached];
  return { ...withVolume(state, { ...volume, attachments }), lastAttachment: number };
}

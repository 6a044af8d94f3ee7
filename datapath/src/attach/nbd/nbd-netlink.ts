// The nbd family of generic netlink: its commands and attributes as they are in linux/nbd-netlink.h, and the control family's answer that
// gives its number. Pure: bytes and values. Called by NbdControl.
import { PfError } from '../../base/errors.ts';
import { AttributeSet, type Answer, type Attribute, type RequestFields } from './netlink-message.ts';

export const FAMILY_NAME = 'nbd';
export const GROUP_NAME = 'nbd_mc_group';
const VERSION = 1;

export const CONNECT = 1;
export const DISCONNECT = 2;
export const RECONFIGURE = 3;
export const LINK_DEAD = 4;
export const STATUS = 5;

export const INDEX = 1;
export const SIZE_BYTES = 2;
export const BLOCK_SIZE_BYTES = 3;
export const TIMEOUT = 4;
export const SERVER_FLAGS = 5;
export const CLIENT_FLAGS = 6;
export const SOCKETS = 7;
export const DEAD_CONN_TIMEOUT = 8;
export const DEVICE_LIST = 9;
export const BACKEND_IDENTIFIER = 10;

const SOCKET_ITEM = 1;
const SOCKET_FD = 1;
const DEVICE_ITEM = 1;
const DEVICE_INDEX = 1;
const DEVICE_CONNECTED = 2;

/** The control family, which has a fixed number: its command GETFAMILY, and attributes of the answer. */
const CONTROL_FAMILY = 16;
const CONTROL_VERSION = 2;
const GET_FAMILY = 3;
const CONTROL_FAMILY_ID = 1;
const CONTROL_FAMILY_NAME = 2;
const CONTROL_GROUPS = 7;
const GROUP_ENTRY_NAME = 1;
const GROUP_ENTRY_ID = 2;

/** A family as this kernel numbers it. */
export interface Family {
  readonly id: number;
  /** Of its multicast group; null when it has none of that name. */
  readonly groupId: number | null;
}

export interface NbdAttributes {
  readonly index?: number;
  readonly sizeBytes?: number;
  readonly blockSizeBytes?: number;
  /** Seconds; 0: a slow answer is no reason to give a socket up. */
  readonly timeoutS?: number;
  readonly serverFlags?: number;
  readonly clientFlags?: number;
  readonly deadConnectionTimeoutS?: number;
  readonly sockets?: readonly number[];
  readonly backend?: string;
}

export interface DeviceStatus {
  readonly index: number;
  /** It is configured; its sockets may be dead all the same. */
  readonly isConnected: boolean;
}

export function familyRequest(name: string, sequence: number): RequestFields {
  const attributes: Attribute[] = [[CONTROL_FAMILY_NAME, { text: name }]];
  return { family: CONTROL_FAMILY, command: GET_FAMILY, version: CONTROL_VERSION, sequence, attributes };
}

/** Error PROTOCOL_ERROR when the answer names no family. */
export function readFamily(answer: Answer, groupName: string): Family {
  const attributes = answer.messages[0]?.attributes;
  const id = attributes?.number(CONTROL_FAMILY_ID) ?? null;
  if (attributes === undefined || id === null)
    throw new PfError('PROTOCOL_ERROR', 'the kernel names no number for a netlink family');
  const groups =
    attributes
      .nested(CONTROL_GROUPS)
      ?.values()
      .map((bytes) => AttributeSet.decode(bytes)) ?? [];
  const group = groups.find((each) => each.text(GROUP_ENTRY_NAME) === groupName);
  return { id, groupId: group?.number(GROUP_ENTRY_ID) ?? null };
}

export function nbdRequest(family: Family, command: number, sequence: number, fields: NbdAttributes): RequestFields {
  return { family: family.id, command, version: VERSION, sequence, attributes: nbdAttributes(fields) };
}

function nbdAttributes(fields: NbdAttributes): Attribute[] {
  const attributes: Attribute[] = [];
  if (fields.index !== undefined) attributes.push([INDEX, { u32: fields.index }]);
  const wide: readonly (readonly [number, number | undefined])[] = [
    [SIZE_BYTES, fields.sizeBytes],
    [BLOCK_SIZE_BYTES, fields.blockSizeBytes],
    [TIMEOUT, fields.timeoutS],
    [SERVER_FLAGS, fields.serverFlags],
    [CLIENT_FLAGS, fields.clientFlags],
    [DEAD_CONN_TIMEOUT, fields.deadConnectionTimeoutS],
  ];
  for (const [type, value] of wide) if (value !== undefined) attributes.push([type, { u64: value }]);
  if (fields.sockets !== undefined) {
    const items = fields.sockets.map((fd): Attribute => [SOCKET_ITEM, { nested: [[SOCKET_FD, { u32: fd }]] }]);
    attributes.push([SOCKETS, { nested: items }]);
  }
  if (fields.backend !== undefined) attributes.push([BACKEND_IDENTIFIER, { text: fields.backend }]);
  return attributes;
}

/** The index of the answer to CONNECT, or of LINK_DEAD; null when there is none. */
export function readIndex(answer: Answer, command: number): number | null {
  return answer.messages.find((message) => message.command === command)?.attributes.number(INDEX) ?? null;
}

/** All indexes that LINK_DEAD announcements name. */
export function readDeadLinks(answer: Answer): readonly number[] {
  return answer.messages
    .filter((message) => message.command === LINK_DEAD)
    .map((message) => message.attributes.number(INDEX))
    .filter((index) => index !== null);
}

export function readStatus(answer: Answer): readonly DeviceStatus[] {
  const lists = answer.messages
    .filter((message) => message.command === STATUS)
    .map(({ attributes }) => attributes.nested(DEVICE_LIST));
  return lists
    .flatMap((list) => list?.all(DEVICE_ITEM) ?? [])
    .map((bytes) => {
      const item = AttributeSet.decode(bytes);
      return { index: item.number(DEVICE_INDEX) ?? -1, isConnected: item.number(DEVICE_CONNECTED) === 1 };
    });
}

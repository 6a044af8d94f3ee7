// Bytes to messages and back, for any described message. Called by rpc/. The varints and lengths are protobufjs'; what a field means is
// decided here, so that nothing is rounded or guessed: a whole number that a double cannot hold is refused, text is UTF-8 or refused,
// the last of a oneof wins, a message that comes in parts is merged, unknown fields are skipped, and an unknown value of an enumeration
// reads as its zero. Whatever is wrong with the bytes is an INVALID_ARGUMENT that names the field.
import protobuf from 'protobufjs/minimal.js';
import { assert, PfError } from '@pureflash/datapath/base';
import { protocolName } from './description.ts';
import type { Draft, EnumType, Field, MessageType } from './description.ts';

type Reader = protobuf.Reader;
type Writer = protobuf.Writer;
type Values = Record<string, unknown>;

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const INT32_MAX = 2 ** 31 - 1;
const SHOWN_CHARACTERS = 40;

export function decodeMessage<T>(type: MessageType<T>, bytes: Uint8Array): T {
  const place = new Place(type.name);
  try {
    return decodeInto(protobuf.Reader.create(bytes), type, { ...(type.absent as Values) }, place) as T;
  } catch (error) {
    if (error instanceof PfError) throw error;
    throw place.refusal('the bytes are no such message', error);
  }
}

/** A draft that no message can be made of is a bug of the caller. */
export function encodeMessage<T>(type: MessageType<T>, draft: Draft<T>): Uint8Array {
  const writer = protobuf.Writer.create();
  writeFields(writer, type, draft as Values);
  return writer.finish();
}

/** Where a decoder is, for its complaints. */
class Place {
  readonly #message: string;
  readonly #path: string[] = [];

  constructor(messageName: string) {
    this.#message = messageName;
  }

  enter(property: string): void {
    this.#path.push(protocolName(property));
  }

  leave(): void {
    this.#path.pop();
  }

  refusal(what: string, cause?: unknown): PfError {
    const field = this.#path.length === 0 ? '' : `${this.#path.join('.')}: `;
    return new PfError('INVALID_ARGUMENT', `cannot read ${this.#message}: ${field}${what}`, { cause });
  }
}

function decodeInto(reader: Reader, type: MessageType<unknown>, into: Values, place: Place): Values {
  const fields = fieldsByNumber(type);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const wireType = tag & 7;
    const found = fields.get(tag >>> 3);
    if (tag >>> 3 === 0) throw place.refusal('a field has number 0');
    if (found === undefined || wireType !== wireTypeOf(found.field)) {
      reader.skipType(wireType);
      continue;
    }
    place.enter(found.property);
    if (found.field.oneof !== null) dropOthers(type, found, into);
    into[found.property] = readValue(reader, found.field, into[found.property], place);
    place.leave();
  }
  return into;
}

/** `before` is what the field holds by now. */
function readValue(reader: Reader, field: Field<unknown>, before: unknown, place: Place): unknown {
  const { type } = field;
  if (field.label === 'map') {
    return putEntry(before as Readonly<Record<string, string>>, ...readEntry(subReader(reader), place));
  }
  if (field.label === 'list') return append(before as readonly unknown[], readOne(reader, type, null, place));
  return readOne(reader, type, before, place);
}

function readOne(reader: Reader, type: Field<unknown>['type'], before: unknown, place: Place): unknown {
  switch (type) {
    case 'string':
      return readText(reader.bytes(), place);
    case 'bool':
      return reader.bool();
    case 'int32':
      return reader.int32();
    case 'int64':
      return readInt64(reader, place);
    default:
      if (type.kind === 'enum') return valueName(type, reader.int32());
      return decodeInto(subReader(reader), type, { ...((before ?? type.absent) as Values) }, place);
  }
}

function readEntry(reader: Reader, place: Place): [string, string] {
  const entry: [string, string] = ['', ''];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const isText = (tag & 7) === LENGTH_DELIMITED;
    if (isText && tag >>> 3 === 1) entry[0] = readText(reader.bytes(), place);
    else if (isText && tag >>> 3 === 2) entry[1] = readText(reader.bytes(), place);
    else reader.skipType(tag & 7);
  }
  return entry;
}

function readText(bytes: Uint8Array, place: Place): string {
  try {
    return UTF8.decode(bytes);
  } catch (error) {
    throw place.refusal('text in UTF-8 wanted', error);
  }
}

/** protobufjs gives a Long where that package is at hand, and a rounded number where it is not: both are outside the safe range together. */
function readInt64(reader: Reader, place: Place): number {
  const value: unknown = reader.int64();
  const number = typeof value === 'number' ? value : Number(String(value));
  if (Number.isSafeInteger(number)) return number;
  throw place.refusal(`a whole number from -(2^53 - 1) to 2^53 - 1 wanted, got ${String(value)}`);
}

function writeFields(writer: Writer, type: MessageType<unknown>, draft: Values): void {
  for (const [property, field] of Object.entries(type.fields)) {
    const value = draft[property];
    if (value === undefined || value === null) continue;
    if (field.label === 'map') writeMap(writer, field.number, value as Record<string, string>);
    else if (field.label === 'list') for (const item of value as readonly unknown[]) writeOne(writer, field, item);
    // Zero is not sent, but a message without fields is: it says that it is there.
    else if (value !== field.absent) writeOne(writer, field, value);
  }
}

function writeOne(writer: Writer, field: Field<unknown>, value: unknown): void {
  const { type } = field;
  writer.uint32((field.number << 3) | wireTypeOf(field));
  switch (type) {
    case 'string':
      writer.string(value as string);
      return;
    case 'bool':
      writer.bool(value as boolean);
      return;
    case 'int32':
      writer.int32(wholeNumber(value, INT32_MAX));
      return;
    case 'int64':
      writer.int64(wholeNumber(value, Number.MAX_SAFE_INTEGER));
      return;
    default:
      if (type.kind === 'enum') {
        assert(Object.hasOwn(type.values, value as string), `${type.name} has no value ${show(value)}`);
        writer.int32(type.values[value as string] as number);
        return;
      }
      writer.fork();
      writeFields(writer, type, value as Values);
      writer.ldelim();
  }
}

function writeMap(writer: Writer, number: number, entries: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(entries)) {
    writer.uint32((number << 3) | LENGTH_DELIMITED).fork();
    writer.uint32((1 << 3) | LENGTH_DELIMITED).string(key);
    writer.uint32((2 << 3) | LENGTH_DELIMITED).string(value);
    writer.ldelim();
  }
}

function wholeNumber(value: unknown, max: number): number {
  assert(
    Number.isSafeInteger(value) && Math.abs(value as number) <= max,
    `${show(value)} is no whole number of this field's size`,
  );
  return value as number;
}

interface Found {
  readonly property: string;
  readonly field: Field<unknown>;
}

function fieldsByNumber(type: MessageType<unknown>): ReadonlyMap<number, Found> {
  let fields = FIELDS_BY_NUMBER.get(type);
  if (fields === undefined) {
    fields = new Map(Object.entries(type.fields).map(([property, field]) => [field.number, { property, field }]));
    FIELDS_BY_NUMBER.set(type, fields);
  }
  return fields;
}

function dropOthers(type: MessageType<unknown>, chosen: Found, into: Values): void {
  for (const [property, field] of Object.entries(type.fields)) {
    if (field.oneof === chosen.field.oneof && property !== chosen.property) into[property] = null;
  }
}

function valueName(type: EnumType<string>, number: number): string {
  return Object.keys(type.values).find((name) => type.values[name] === number) ?? type.zero;
}

function wireTypeOf(field: Field<unknown>): number {
  if (field.label === 'map' || field.type === 'string') return LENGTH_DELIMITED;
  return typeof field.type === 'object' && field.type.kind === 'message' ? LENGTH_DELIMITED : VARINT;
}

/** A reader of the next length-delimited bytes, which cannot leave them. */
function subReader(reader: Reader): Reader {
  return protobuf.Reader.create(reader.bytes());
}

/** The frozen empty map, and below the frozen empty list, is where each one begins; later ones are this message's own. */
function putEntry(map: Readonly<Record<string, string>>, key: string, value: string): Readonly<Record<string, string>> {
  const own = Object.isFrozen(map) ? {} : map;
  // Not an assignment: a key may be called __proto__.
  return Object.defineProperty(own, key, { value, enumerable: true, writable: true, configurable: true });
}

function append(list: readonly unknown[], item: unknown): unknown[] {
  if (Object.isFrozen(list)) return [item];
  (list as unknown[]).push(item);
  return list as unknown[];
}

const show = (value: unknown): string => JSON.stringify(value)?.slice(0, SHOWN_CHARACTERS) ?? String(value);

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const FIELDS_BY_NUMBER = new WeakMap<MessageType<unknown>, ReadonlyMap<number, Found>>();

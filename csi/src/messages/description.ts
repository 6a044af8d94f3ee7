// The words in which the protocol's messages and services are described. A description is a value (names, numbers, types) from which
// codec.ts reads and writes the wire format, and of which TypeScript infers the types: nothing is generated, nothing is said twice.
// Property names are the protocol's in camel case; `protocolName()` gives the protocol's own.
// Only what CSI needs is here: strings, booleans, whole numbers, enumerations, messages, lists, and maps from text to text.

export type Scalar = 'string' | 'bool' | 'int32' | 'int64';

/** One field. `T` is what a reader finds in it. */
export interface Field<T> {
  readonly number: number;
  readonly type: Scalar | EnumType<string> | MessageType<unknown>;
  readonly label: 'single' | 'list' | 'map';
  /** Of the fields with the same name here at most one is not null. */
  readonly oneof: string | null;
  /** Its value is never logged. */
  readonly isSecret: boolean;
  /** What a reader finds where nothing was sent. */
  readonly absent: T;
}

export interface EnumType<V extends string> {
  readonly kind: 'enum';
  /** With its package: "csi.v1.VolumeUsage.Unit". */
  readonly name: string;
  readonly values: Readonly<Record<V, number>>;
  /** The value with number 0: also what a reader finds for a number that is not described here. */
  readonly zero: V;
}

export interface MessageType<T> {
  readonly kind: 'message';
  /** With its package: "csi.v1.Topology". */
  readonly name: string;
  readonly fields: Readonly<Record<string, Field<unknown>>>;
  /** The message of which nothing was sent. */
  readonly absent: T;
}

/** What a reader gets: every field is there. A message that was not sent is null; so is each field of a oneof that was not chosen. */
export type MessageOf<M> = M extends MessageType<infer T> ? T : never;

/** What a writer gives: a field that is left out has the protocol's zero value, as on the wire. */
export type Draft<T> = { readonly [K in keyof T]?: DraftValue<T[K]> };

type DraftValue<V> = V extends string | number | boolean | null
  ? V
  : V extends readonly (infer E)[]
    ? readonly DraftValue<E>[]
    : string extends keyof V
      ? V
      : Draft<V>;

export type EnumOf<E> = E extends EnumType<infer V> ? V : never;

export interface Method<Request, Response> {
  readonly request: MessageType<Request>;
  readonly response: MessageType<Response>;
  /** It only looks, and is asked often: its calls are logged for those who debug. */
  readonly isQuery: boolean;
}

// Its messages are whatever they are; a narrower bound would exclude every real method.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyMethod = Method<any, any>;

export interface Service<M extends Readonly<Record<string, AnyMethod>>> {
  /** With its package: "csi.v1.Node". */
  readonly name: string;
  readonly methods: M;
}

export type AnyService = Service<Readonly<Record<string, AnyMethod>>>;

type Fields = Readonly<Record<string, Field<unknown>>>;
type Values<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export function message<const F extends Fields>(name: string, fields: F): MessageType<Values<F>> {
  const absent = Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.absent]));
  return { kind: 'message', name, fields, absent: Object.freeze(absent) as Values<F> };
}

export function enumeration<const V extends Readonly<Record<string, number>>>(
  name: string,
  values: V,
): EnumType<keyof V & string> {
  const zero = Object.keys(values).find((key) => values[key] === 0);
  if (zero === undefined) throw new TypeError(`${name} has no value 0`);
  return { kind: 'enum', name, values, zero: zero as keyof V & string };
}

export function service<const M extends Readonly<Record<string, AnyMethod>>>(name: string, methods: M): Service<M> {
  return { name, methods };
}

/** A method that changes something. */
export function command<Q, R>(request: MessageType<Q>, response: MessageType<R>): Method<Q, R> {
  return { request, response, isQuery: false };
}

/** A method that looks. */
export function query<Q, R>(request: MessageType<Q>, response: MessageType<R>): Method<Q, R> {
  return { request, response, isQuery: true };
}

export const text = (number: number): Field<string> => single(number, 'string', '');
export const flag = (number: number): Field<boolean> => single(number, 'bool', false);
export const int32 = (number: number): Field<number> => single(number, 'int32', 0);
/** A whole number that a double holds exactly; others are refused at the door. */
export const int64 = (number: number): Field<number> => single(number, 'int64', 0);

export function choiceOf<V extends string>(number: number, type: EnumType<V>): Field<V> {
  return single(number, type, type.zero);
}

export function nested<T>(number: number, type: MessageType<T>): Field<T | null> {
  return single<T | null>(number, type, null);
}

export function listOf<T>(number: number, type: MessageType<T>): Field<readonly T[]> {
  return { ...single<readonly T[]>(number, type, NOTHING), label: 'list' };
}

export function textList(number: number): Field<readonly string[]> {
  return { ...single<readonly string[]>(number, 'string', NOTHING), label: 'list' };
}

export function textMap(number: number): Field<Readonly<Record<string, string>>> {
  return { ...single<Readonly<Record<string, string>>>(number, 'string', NO_ENTRIES), label: 'map' };
}

/** A map whose values are passwords and keys. */
export function secretMap(number: number): Field<Readonly<Record<string, string>>> {
  return { ...textMap(number), isSecret: true };
}

/** Messages of which at most one is there; to be spread among the fields. `name` is the protocol's. */
export function oneof<const F extends Readonly<Record<string, Field<unknown>>>>(name: string, fields: F): F {
  return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, { ...field, oneof: name }])) as unknown as F;
}

/** "stagingTargetPath" is "staging_target_path" in the protocol. */
export function protocolName(property: string): string {
  return property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** "createVolume" of csi.v1.Controller is called at "/csi.v1.Controller/CreateVolume". */
export function methodPath(serviceName: string, method: string): string {
  return `/${serviceName}/${method.charAt(0).toUpperCase()}${method.slice(1)}`;
}

const NOTHING: readonly never[] = Object.freeze([]);
const NO_ENTRIES: Readonly<Record<string, string>> = Object.freeze({});

function single<T>(number: number, type: Field<T>['type'], absent: T): Field<T> {
  return { number, type, label: 'single', oneof: null, isSecret: false, absent };
}

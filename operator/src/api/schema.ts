// One description of a resource's fields, from which come its TypeScript type, the OpenAPI schema of its CRD, its defaults and the check
// that the local platform makes without an API server. A rule is written twice, as CEL for the API server and as a function for us;
// the suite against a real API server holds both to the same table of manifests.
import type { Json, JsonObject } from '@pureflash/datapath/base';

/** A demand that the structure cannot express. `check` sees the value with its defaults; both see it only where it is present. */
export interface Rule<T> {
  readonly cel: string;
  readonly message: string;
  /** `old` is null when the resource is created; rules that look at it hold for changes only. */
  check(self: T, old: T | null): boolean;
  readonly isTransition: boolean;
}

export type Presence = 'required' | 'optional' | 'defaulted';

/** `T` is the type once defaults are filled in. */
export interface Schema<T, P extends Presence = Presence> {
  readonly presence: P;
  readonly openApi: JsonObject;
  readonly fallback: Json | undefined;
  readonly rules: readonly Rule<never>[];
  readonly fields: Readonly<Record<string, Schema<unknown>>> | null;
  readonly items: Schema<unknown> | null;
  readonly values: Schema<unknown> | null;
  /** Never there: carries the type. */
  readonly phantom?: T;
}

export type Infer<S> = S extends Schema<infer T> ? T : never;

type Fields = Readonly<Record<string, Schema<unknown>>>;
type Flat<T> = { [K in keyof T]: T[K] };
type OptionalKeys<F extends Fields> = { [K in keyof F]: F[K] extends Schema<unknown, 'optional'> ? K : never }[keyof F];
export type ObjectOf<F extends Fields> = Flat<
  { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> } & { readonly [K in OptionalKeys<F>]?: Infer<F[K]> }
>;

interface StringLimits {
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: 'date-time';
}

/** Strings are at most 253 characters long unless told otherwise, lists and maps 64 entries: the API server's budget for rules wants bounds. */
const MAX_LENGTH = 253;
const MAX_ITEMS = 64;

export function string(description: string, limits: StringLimits = {}): Schema<string, 'required'> {
  const bounds = limits.format === undefined ? { maxLength: MAX_LENGTH } : {};
  return leaf({ type: 'string', description, ...bounds, ...limits });
}

export function oneOf<const V extends string>(description: string, choices: readonly V[]): Schema<V, 'required'> {
  return leaf({ type: 'string', description, enum: choices });
}

export function integer(description: string, limits: { minimum?: number; maximum?: number } = {}): Schema<number, 'required'> {
  return leaf({ type: 'integer', format: 'int64', description, ...limits });
}

export function boolean(description: string): Schema<boolean, 'required'> {
  return leaf({ type: 'boolean', description });
}

/** A size in bytes as Kubernetes writes it: "100Gi", 1073741824. */
export function quantity(description: string): Schema<string | number, 'required'> {
  return leaf({
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    'x-kubernetes-int-or-string': true,
    pattern: QUANTITY_PATTERN,
    maxLength: 32,
    description,
  });
}

/** Whole bytes with a binary or decimal suffix. */
export const QUANTITY_PATTERN = '^[1-9][0-9]{0,17}(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$';

/** Fields of somebody else's schema, which the API server checks where we use them. */
export function anything<T extends object>(description: string): Schema<T, 'required'> {
  return leaf({ type: 'object', description, 'x-kubernetes-preserve-unknown-fields': true });
}

export function list<T>(
  description: string,
  items: Schema<T>,
  limits: { minItems?: number; maxItems?: number; keys?: readonly string[] } = {},
): Schema<readonly T[], 'required'> {
  const { keys, ...bounds } = limits;
  const merge =
    keys === undefined
      ? { 'x-kubernetes-list-type': 'atomic' }
      : { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': keys };
  return {
    ...leaf<readonly T[]>({ type: 'array', description, items: items.openApi, maxItems: MAX_ITEMS, ...bounds, ...merge }),
    items: items as Schema<unknown>,
  };
}

export function map<T>(description: string, values: Schema<T>): Schema<Readonly<Record<string, T>>, 'required'> {
  return {
    ...leaf<Readonly<Record<string, T>>>({
      type: 'object',
      description,
      additionalProperties: values.openApi,
      maxProperties: MAX_ITEMS,
    }),
    values: values as Schema<unknown>,
  };
}

export function object<const F extends Fields>(description: string, fields: F): Schema<ObjectOf<F>, 'required'> {
  const required = Object.entries(fields).filter(([, field]) => field.presence === 'required');
  const properties = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.openApi]));
  return {
    ...leaf<ObjectOf<F>>({
      type: 'object',
      description,
      properties,
      ...(required.length === 0 ? {} : { required: required.map(([name]) => name) }),
    }),
    fields,
  };
}

export function optional<T>(schema: Schema<T>): Schema<T, 'optional'> {
  return { ...schema, presence: 'optional' };
}

export function defaulted<T>(schema: Schema<T>, fallback: Json): Schema<T, 'defaulted'> {
  const whole = filledIn(schema, fallback);
  return { ...schema, presence: 'defaulted', fallback: whole, openApi: { ...schema.openApi, default: whole } };
}

/** A default is held against the rules as it is written down: with the defaults of its own fields. */
function filledIn(schema: Schema<unknown>, fallback: Json): Json {
  if (schema.fields === null) return fallback;
  const given = Object.entries(schema.fields).flatMap(([name, field]) => {
    const value = (fallback as JsonObject)[name] ?? field.fallback;
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(given);
}

export function withRules<T, P extends Presence>(schema: Schema<T, P>, ...rules: readonly Rule<T>[]): Schema<T, P> {
  const all = [...schema.rules, ...(rules as unknown as readonly Rule<never>[])];
  const validations = all.map(({ cel, message }) => ({ rule: cel, message }));
  return { ...schema, rules: all, openApi: { ...schema.openApi, 'x-kubernetes-validations': validations } };
}

export function rule<T>(cel: string, message: string, check: (self: T) => boolean): Rule<T> {
  return { cel, message, check, isTransition: false };
}

export function transition<T>(cel: string, message: string, check: (self: T, old: T) => boolean): Rule<T> {
  return { cel, message, check: (self, old) => old === null || check(self, old), isTransition: true };
}

export function immutable<T, P extends Presence>(schema: Schema<T, P>, name: string): Schema<T, P> {
  const same = (a: T, b: T): boolean => JSON.stringify(a) === JSON.stringify(b);
  return withRules(schema, transition<T>('self == oldSelf', `${name} cannot be changed after creation`, same));
}

function leaf<T>(openApi: JsonObject): Schema<T, 'required'> {
  return { presence: 'required', openApi, fallback: undefined, rules: [], fields: null, items: null, values: null };
}

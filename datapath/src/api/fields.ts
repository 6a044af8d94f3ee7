// Parsers with limits for what comes through a door: query parameters (text) and JSON bodies. A field says what it wants, so
// every refusal reads the same: `volume_name: 1 to 96 characters of A-Z a-z 0-9 . _ - wanted, got ""`.
// Used by the route table, and by the conductor for what it reads back from its own log.
import { PfError } from '../base/errors.ts';
import { isReachableAddress } from './host-port.ts';

export interface Field<T> {
  readonly wanted: string;
  /** False: the field may be absent, and `absent` is its value then. */
  readonly isRequired: boolean;
  readonly absent?: T;
  fromJson(value: unknown, path: string): T;
  fromText(text: string, path: string): T;
}

export type Fields<T> = { readonly [K in keyof T]: Field<T[K]> };

export const MAX_NAME_LENGTH = 96;
const NAME = /^[A-Za-z0-9._-]{1,96}$/;

/** A name of a volume, cluster or host. */
export const nameField: Field<string> = checkedText(`1 to ${MAX_NAME_LENGTH} characters of A-Z a-z 0-9 . _ -`, (text) =>
  NAME.test(text),
);

/** Who attaches a volume: a host, a node, or whatever else its operator will recognise. */
export const clientField: Field<string> = checkedText('1 to 253 printable characters without spaces', (text) =>
  /^[!-~]{1,253}$/.test(text),
);

export const uuidField: Field<string> = checkedText('a UUID in lower case', (text) =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(text),
);

/** "host:port". */
export const addressField: Field<string> = checkedText('an address "host:port"', isReachableAddress);

/** Any printable text on one line. */
export const textField = (maxLength: number): Field<string> =>
  checkedText(
    `at most ${maxLength} printable characters`,
    (text) => text.length <= maxLength && !/[\u0000-\u001f\u007f]/.test(text),
  );

export function wholeNumber(min: number, max: number): Field<number> {
  const wanted = `a whole number from ${min} to ${max}`;
  const check = (value: number, shown: unknown, path: string): number =>
    Number.isSafeInteger(value) && value >= min && value <= max ? value : refuse(path, wanted, shown);
  return {
    wanted,
    isRequired: true,
    fromJson: (value, path) => check(typeof value === 'number' ? value : NaN, value, path),
    fromText: (text, path) => check(/^-?\d{1,16}$/.test(text) ? Number(text) : NaN, text, path),
  };
}

export const flagField: Field<boolean> = {
  wanted: 'true or false',
  isRequired: true,
  fromJson: (value, path) => (typeof value === 'boolean' ? value : refuse(path, 'true or false', value)),
  fromText: (text, path) =>
    text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : refuse(path, 'true or false', text),
};

export function oneOf<const T extends string>(...values: readonly T[]): Field<T> {
  return checkedText(`one of ${values.join(', ')}`, (text) => (values as readonly string[]).includes(text)) as Field<T>;
}

export function optional<T, A>(field: Field<T>, absent: A): Field<T | A> {
  return { ...field, isRequired: false, absent } as Field<T | A>;
}

/** JSON null stands for "none" beside the field's own values. */
export function nullable<T>(field: Field<T>): Field<T | null> {
  return { ...field, fromJson: (value, path) => (value === null ? null : field.fromJson(value, path)) };
}

export function listOf<T>(field: Field<T>, maxCount: number): Field<readonly T[]> {
  const wanted = `a list of at most ${maxCount}`;
  return {
    wanted,
    isRequired: true,
    fromJson: (value, path) =>
      Array.isArray(value) && value.length <= maxCount
        ? Array.from(value, (each: unknown, index) => field.fromJson(each, `${path}[${index}]`))
        : refuse(path, wanted, value),
    fromText: (text, path) => refuse(path, wanted, text),
  };
}

/** A JSON object with these keys. Keys it does not know are dropped, so that a newer peer may send more. */
export function recordOf<T extends object>(fields: Fields<T>): Field<T> {
  const keys = Object.keys(fields) as (keyof T & string)[];
  return {
    wanted: 'an object',
    isRequired: true,
    fromJson(value, path) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(path, 'an object', value);
      const result: Partial<T> = {};
      for (const key of keys) {
        const field = fields[key];
        const inner = path === '' ? key : `${path}.${key}`;
        if (Object.hasOwn(value, key)) result[key] = field.fromJson((value as T)[key], inner);
        else if (field.isRequired) refuse(inner, field.wanted, undefined);
        else if (field.absent !== undefined) result[key] = field.absent as T[typeof key];
      }
      return result as T;
    },
    fromText: (text, path) => refuse(path, 'an object', text),
  };
}

function checkedText(wanted: string, isGood: (text: string) => boolean): Field<string> {
  return {
    wanted,
    isRequired: true,
    fromJson: (value, path) => (typeof value === 'string' && isGood(value) ? value : refuse(path, wanted, value)),
    fromText: (text, path) => (isGood(text) ? text : refuse(path, wanted, text)),
  };
}

/** Shows at most 60 characters of what came, as JSON. */
function refuse(path: string, wanted: string, got: unknown): never {
  const text = got === undefined ? 'nothing' : (JSON.stringify(got) ?? 'nothing');
  const shown = text.length > 60 ? `${text.slice(0, 60)}...` : text;
  throw new PfError('INVALID_ARGUMENT', `${path === '' ? 'body' : path}: ${wanted} wanted, got ${shown}`);
}

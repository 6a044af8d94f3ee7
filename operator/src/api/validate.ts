// Reads a resource against its schema where no API server does it: fills in defaults, checks structure, then rules. Used by the local
// platform; what it accepts and refuses is what the API server accepts and refuses, except that it refuses unknown fields, which the API
// server drops (kubectl reports them).
import { PfError, type Json, type JsonObject } from '@pureflash/datapath/base';
import type { Infer, Schema } from './schema.ts';

export interface Problem {
  /** "spec.conductors.count". */
  readonly path: string;
  readonly message: string;
}

/** The value with its defaults, or all that is wrong with it. `old`: what is being changed, complete; null for a creation. */
export function check(
  schema: Schema<unknown>,
  value: Json,
  path: string,
  old: Json | null = null,
): { value: Json; problems: Problem[] } {
  const problems: Problem[] = [];
  const complete = walk(schema, value, path, problems);
  if (problems.length === 0) applyRules(schema, complete, old, path, problems);
  return { value: complete, problems };
}

/** Errors: INVALID_ARGUMENT with every problem. */
export function parse<S extends Schema<unknown>>(schema: S, value: Json, path: string, old: Json | null = null): Infer<S> {
  const { value: complete, problems } = check(schema, value, path, old);
  if (problems.length === 0) return complete as Infer<S>;
  const lines = problems.map((problem) => `${problem.path}: ${problem.message}`);
  throw new PfError('INVALID_ARGUMENT', lines.join('; '));
}

function walk(schema: Schema<unknown>, value: Json, path: string, problems: Problem[]): Json {
  const { openApi } = schema;
  if (openApi['x-kubernetes-int-or-string'] === true) {
    if (typeof value !== 'number' && typeof value !== 'string')
      problems.push({ path, message: `a size wanted, got ${show(value)}` });
    else checkString(openApi, String(value), path, problems);
    return value;
  }
  switch (openApi['type']) {
    case 'string':
      if (typeof value === 'string') checkString(openApi, value, path, problems);
      else problems.push({ path, message: `a text wanted, got ${show(value)}` });
      return value;
    case 'integer':
      checkInteger(openApi, value, path, problems);
      return value;
    case 'boolean':
      if (typeof value !== 'boolean') problems.push({ path, message: `true or false wanted, got ${show(value)}` });
      return value;
    case 'array':
      return walkList(schema, value, path, problems);
    default:
      return walkObject(schema, value, path, problems);
  }
}

function walkList(schema: Schema<unknown>, value: Json, path: string, problems: Problem[]): Json {
  if (!Array.isArray(value)) {
    problems.push({ path, message: `a list wanted, got ${show(value)}` });
    return value;
  }
  const { minItems = 0, maxItems = Infinity } = schema.openApi as { minItems?: number; maxItems?: number };
  if (value.length < minItems) problems.push({ path, message: `at least ${minItems} items wanted, got ${value.length}` });
  if (value.length > maxItems) problems.push({ path, message: `at most ${maxItems} items are possible, got ${value.length}` });
  const keys = schema.openApi['x-kubernetes-list-map-keys'] as readonly string[] | undefined;
  if (keys !== undefined) checkUnique(keys, value, path, problems);
  return value.map((item: Json, index) => walk(schema.items!, item, `${path}[${index}]`, problems));
}

function checkUnique(keys: readonly string[], items: readonly Json[], path: string, problems: Problem[]): void {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const key = JSON.stringify(keys.map((each) => (isObject(item) ? (item[each] ?? null) : null)));
    if (seen.has(key)) problems.push({ path: `${path}[${index}]`, message: `Duplicate value: ${key.slice(1, -1)}` });
    seen.add(key);
  }
}

function walkObject(schema: Schema<unknown>, value: Json, path: string, problems: Problem[]): Json {
  if (!isObject(value)) {
    problems.push({ path, message: `an object wanted, got ${show(value)}` });
    return value;
  }
  const { fields, values } = schema;
  if (values !== null)
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, walk(values, each, `${path}.${key}`, problems)]));
  if (fields === null) return value;
  const complete: Record<string, Json> = {};
  for (const key of Object.keys(value)) {
    if (fields[key] === undefined)
      problems.push({ path: join(path, key), message: `there is no such field; known are ${Object.keys(fields).join(', ')}` });
  }
  for (const [key, field] of Object.entries(fields)) {
    const given = value[key] ?? field.fallback;
    if (given !== undefined) complete[key] = walk(field, given, join(path, key), problems);
    else if (field.presence === 'required') problems.push({ path: join(path, key), message: 'Required value' });
  }
  return complete;
}

function applyRules(schema: Schema<unknown>, value: Json, old: Json | null, path: string, problems: Problem[]): void {
  for (const rule of schema.rules) {
    const isRight = (rule.check as (self: Json, old: Json | null) => boolean)(value, old);
    if (!isRight) problems.push({ path, message: rule.message });
  }
  if (Array.isArray(value)) {
    // Lists are replaced as a whole: their items have no past.
    for (const [index, item] of value.entries()) applyRules(schema.items!, item as Json, null, `${path}[${index}]`, problems);
  } else if (isObject(value)) {
    const before = isObject(old) ? old : {};
    for (const [key, each] of Object.entries(value)) {
      const field = schema.fields?.[key] ?? schema.values;
      if (field) applyRules(field, each, before[key] ?? null, join(path, key), problems);
    }
  }
}

function checkString(openApi: JsonObject, value: string, path: string, problems: Problem[]): void {
  const limits = openApi as {
    minLength?: number;
    maxLength?: number;
    pattern?: string;
    enum?: readonly string[];
    format?: string;
  };
  if (limits.enum !== undefined && !limits.enum.includes(value)) {
    problems.push({
      path,
      message: `Unsupported value: "${value}": supported values: ${limits.enum.map((each) => `"${each}"`).join(', ')}`,
    });
  }
  if (value.length < (limits.minLength ?? 0)) problems.push({ path, message: `at least ${limits.minLength} characters wanted` });
  if (value.length > (limits.maxLength ?? Infinity))
    problems.push({ path, message: `longer than ${limits.maxLength} characters` });
  if (limits.pattern !== undefined && !new RegExp(limits.pattern).test(value))
    problems.push({ path, message: `"${value}" does not match ${limits.pattern}` });
  if (limits.format === 'date-time' && !DATE_TIME.test(value))
    problems.push({ path, message: `"${value}" is no time such as 2026-01-31T12:00:00Z` });
}

function checkInteger(openApi: JsonObject, value: Json, path: string, problems: Problem[]): void {
  const { minimum = -Infinity, maximum = Infinity } = openApi as { minimum?: number; maximum?: number };
  if (typeof value !== 'number' || !Number.isSafeInteger(value))
    problems.push({ path, message: `a whole number wanted, got ${show(value)}` });
  else if (value < minimum) problems.push({ path, message: `${value} should be greater than or equal to ${minimum}` });
  else if (value > maximum) problems.push({ path, message: `${value} should be less than or equal to ${maximum}` });
}

const DATE_TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

function show(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

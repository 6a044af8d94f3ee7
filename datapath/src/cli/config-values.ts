// A daemon's configuration as JSON: an object whose keys are the flags' names in camel case. Read as strictly as a command line; every
// error names the file and the key. Called by daemon-settings.ts.
import { PfError } from '../base/errors.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { CommandSpec, FlagSpec } from './flag-spec.ts';
import { readValue, suggestionFor, type ConfigValues } from './flags.ts';

const TEXT_LENGTH_MAX = 4096;
const LIST_LENGTH_MAX = 1024;

/** `path`: the file, for errors. Errors: INVALID_ARGUMENT. */
export function parseConfigText(spec: CommandSpec, path: string, text: string): ConfigValues {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    throw new PfError('INVALID_ARGUMENT', `cannot read ${path}: it is not JSON`, { cause: error });
  }
  return readConfig(spec, path, value);
}

export function readConfig(spec: CommandSpec, path: string, config: Json): ConfigValues {
  if (!isObject(config)) throw new PfError('INVALID_ARGUMENT', `cannot read ${path}: an object with values of flags is wanted`);
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    const flag = Object.hasOwn(spec.flags, key) ? spec.flags[key] : undefined;
    if (flag === undefined) throw unknownKey(spec, path, key);
    const subject = `"${key}" in ${path}`;
    if (flag.isCommandLineOnly === true) throw new PfError('INVALID_ARGUMENT', `${subject} belongs on the command line`);
    values[key] = readJson(subject, flag, value);
  }
  return { path, values };
}

function readJson(subject: string, flag: FlagSpec, value: Json): unknown {
  switch (flag.kind) {
    case 'boolean':
      return typeof value === 'boolean' ? value : fail(subject, value, 'true or false');
    case 'list':
      if (!Array.isArray(value) || value.length > LIST_LENGTH_MAX || !value.every(isText))
        return fail(subject, value, `a list of at most ${LIST_LENGTH_MAX} texts`);
      return value as readonly string[];
    case 'integer':
      return typeof value === 'number' ? readValue(subject, flag, String(value)) : fail(subject, value, 'a number');
    case 'size':
      if (typeof value !== 'number' && !isText(value)) return fail(subject, value, 'a size such as 4096 or "128G"');
      return readValue(subject, flag, String(value));
    case 'string':
    case 'tcp-address':
      return isText(value) ? readValue(subject, flag, value) : fail(subject, value, 'a text');
  }
}

function fail(subject: string, value: Json, wanted: string): never {
  const shown = JSON.stringify(value);
  throw new PfError(
    'INVALID_ARGUMENT',
    `${subject} is ${shown.length > 60 ? `${shown.slice(0, 60)}...` : shown}, wanted ${wanted}`,
  );
}

function unknownKey(spec: CommandSpec, path: string, key: string): PfError {
  const near = suggestionFor(key, Object.keys(spec.flags));
  const advice = near === null ? `see ${spec.name} --help` : `did you mean "${near}"?`;
  return new PfError('INVALID_ARGUMENT', `unknown key "${key.slice(0, 60)}" in ${path}; ${advice}`);
}

function isText(value: Json): value is string {
  return typeof value === 'string' && value.length <= TEXT_LENGTH_MAX;
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

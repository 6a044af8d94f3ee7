// The short form of a discovery report, for a container's termination log, which Kubernetes cuts off at 4096 bytes: written by
// pfdiscover, read by the operator. What is null or usual is left out when writing and filled in when reading. Pure.
import { PfError } from '../../base/errors.ts';
import { REPORT_VERSION, type Device, type DiscoveryReport } from './device.ts';

export const TERMINATION_LOG_BYTES_MAX = 4096;

type Optional =
  | 'model'
  | 'serial'
  | 'isRotational'
  | 'transport'
  | 'usedBy'
  | 'candidateReason'
  | 'error'
  | 'storeUuid'
  | 'diskUuid';

/** What choosing needs of a device. select() takes these as it takes whole ones. */
export type ShortDevice = Pick<Device, 'path' | 'name' | 'links' | 'sizeBytes' | 'use' | 'candidate' | 'isInUse'> &
  Partial<Pick<Device, Optional>>;

export interface ShortReport {
  readonly version: DiscoveryReport['version'];
  readonly devices: readonly ShortDevice[];
  /** Devices that did not fit. */
  readonly truncated: number;
}

const OPTIONAL_TEXTS = ['model', 'serial', 'transport', 'usedBy', 'candidateReason', 'error', 'storeUuid', 'diskUuid'] as const;
/** Numbers that identify a device are never cut; what is for people is. */
const PROSE: readonly string[] = ['model', 'usedBy', 'candidateReason', 'error'];
const PROSE_CHARACTERS_MAX = 80;

/** Gives up first the devices' other names, then devices from the end of the report: candidates stay longest. */
export function formatTerminationLog({ version, devices }: DiscoveryReport): string {
  const whole = JSON.stringify({ version, devices: devices.map((each) => shorten(each, true)) });
  if (fits(whole)) return whole;
  const short = devices.map((each) => shorten(each, false));
  for (let kept = short.length; ; kept -= 1) {
    const truncated = short.length - kept;
    const text = JSON.stringify({ version, devices: short.slice(0, kept), ...(truncated > 0 ? { truncated } : {}) });
    if (fits(text)) return text;
  }
}

/** Errors: PROTOCOL_ERROR. */
export function parseTerminationLog(text: string): ShortReport {
  if (!fits(text)) fail(`it is longer than ${TERMINATION_LOG_BYTES_MAX} bytes`);
  const report = asRecord(parseJson(text), 'the report');
  const { version, devices, truncated = 0 } = report;
  if (version !== REPORT_VERSION) fail(`its version is not ${REPORT_VERSION}`);
  if (!Array.isArray(devices)) fail('it has no list of devices');
  if (!isCount(truncated)) fail('"truncated" is no number of devices');
  return { version: REPORT_VERSION, devices: devices.map(readDevice), truncated };
}

function shorten(device: Device, hasLinks: boolean): object {
  const { path, name, sizeBytes, use, candidate, isInUse, isRotational, usedBy, candidateReason } = device;
  const links = hasLinks ? device.links.filter((each) => each !== path) : [];
  const texts = OPTIONAL_TEXTS.flatMap((key) => {
    const value = device[key];
    if (value === null || (key === 'candidateReason' && candidateReason === usedBy)) return [];
    return [
      [key, PROSE.includes(key) && value.length > PROSE_CHARACTERS_MAX ? `${value.slice(0, PROSE_CHARACTERS_MAX)}...` : value],
    ];
  });
  return {
    path,
    name,
    sizeBytes,
    use,
    ...(links.length > 0 ? { links } : {}),
    ...(candidate === 'any' ? {} : { candidate }),
    ...(isInUse ? { isInUse } : {}),
    ...(isRotational === null ? {} : { isRotational }),
    ...Object.fromEntries(texts),
  };
}

function readDevice(value: unknown, index: number): ShortDevice {
  const device = asRecord(value, `device ${index}`);
  const { path, name, sizeBytes, use, links = [], candidate = 'any', isInUse = false, isRotational } = device;
  const wrong = (field: string): never => fail(`${field} of device ${index} is not what pfdiscover writes`);
  if (typeof path !== 'string') return wrong('path');
  if (typeof name !== 'string') return wrong('name');
  if (!isCount(sizeBytes)) return wrong('sizeBytes');
  if (use !== 'blank' && use !== 'store' && use !== 'foreign') return wrong('use');
  if (candidate !== 'any' && candidate !== 'named' && candidate !== 'never') return wrong('candidate');
  if (typeof isInUse !== 'boolean') return wrong('isInUse');
  if (isRotational !== undefined && typeof isRotational !== 'boolean') return wrong('isRotational');
  if (!Array.isArray(links) || !links.every((each) => typeof each === 'string')) return wrong('links');
  const texts = OPTIONAL_TEXTS.filter((key) => device[key] !== undefined);
  for (const key of texts) if (typeof device[key] !== 'string') return wrong(key);
  return {
    path,
    name,
    links: [path, ...links],
    sizeBytes,
    use,
    candidate,
    isInUse,
    ...(isRotational === undefined ? {} : { isRotational }),
    ...(Object.fromEntries(texts.map((key) => [key, device[key]])) as Partial<Pick<Device, Optional>>),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return fail(`it is no JSON (${(error as Error).message})`);
  }
}

function asRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(`${what} is no object`);
  return value as Record<string, unknown>;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function fits(text: string): boolean {
  return new TextEncoder().encode(text).length <= TERMINATION_LOG_BYTES_MAX;
}

function fail(why: string): never {
  throw new PfError(
    'PROTOCOL_ERROR',
    `cannot read the termination log of pfdiscover: ${why}; use the program of the same version`,
  );
}

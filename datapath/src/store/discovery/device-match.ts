// Finds a device by one of its names, and tells whether a filter matches it. Called by select.ts. Pure.
import { bytesOfQuantity } from '../../base/sizes.ts';
import type { SelectableDevice } from './select.ts';

/** Everything that is given has to be so. Sizes are whole bytes with a binary or decimal suffix: "100Gi", "2T", 4096. */
export interface DeviceFilter {
  /** A regular expression for the model. */
  readonly model?: string | undefined;
  readonly minSize?: string | number | undefined;
  readonly maxSize?: string | number | undefined;
  readonly rotational?: boolean | undefined;
}

/** Models that are longer are not looked at further: an expression may take time that grows with its input. */
const MODEL_CHARACTERS_MAX = 128;

export function byName(devices: readonly SelectableDevice[], path: string): SelectableDevice | null {
  const hasName = (each: SelectableDevice): boolean =>
    each.path === path || `/dev/${each.name}` === path || each.links?.includes(path) === true;
  return devices.find(hasName) ?? null;
}

/** A text says what is wrong with the filter. */
export function matchesFilter(device: SelectableDevice, filter: DeviceFilter): boolean | string {
  const { model, minSize, maxSize, rotational } = filter;
  const min = minSize === undefined ? 0 : bytesOfQuantity(minSize);
  const max = maxSize === undefined ? Number.MAX_SAFE_INTEGER : bytesOfQuantity(maxSize);
  if (min === null || max === null)
    return `cannot read the sizes "${minSize ?? ''}" and "${maxSize ?? ''}": write such as 100Gi or 2T`;
  if (device.sizeBytes < min || device.sizeBytes > max) return false;
  if (rotational !== undefined && device.isRotational !== rotational) return false;
  if (model === undefined) return true;
  try {
    return new RegExp(model).test((device.model ?? '').slice(0, MODEL_CHARACTERS_MAX));
  } catch (error) {
    return `cannot use "${model}" as a regular expression for the model: ${(error as Error).message}`;
  }
}

// Which of a host's block devices a store takes.
import { bytesOfQuantity } from '@pureflash/datapath/base';
import { boolean, list, object, optional, quantity, rule, string, withRules, type Infer } from '../schema.ts';
import { ABSOLUTE_PATH } from './parts.ts';

const file = object('A file that serves as a disk, for laboratories: made at its size when it is missing.', {
  path: string('Absolute path on the host.', { pattern: ABSOLUTE_PATH, maxLength: 1024 }),
  size: quantity('Size of the file; it is thin.'),
});

const filter = object('Devices that are all of this.', {
  model: optional(string('Regular expression for the model, such as "^SAMSUNG MZ".', { minLength: 1, maxLength: 128 })),
  minSize: optional(quantity('Smallest size.')),
  maxSize: optional(quantity('Largest size.')),
  rotational: optional(boolean('Whether it has to turn.')),
});

export const deviceSelector = withRules(
  object('Which devices a store takes: exactly one way of choosing them.', {
    paths: optional(
      list(
        'Devices by path, such as /dev/disk/by-path/pci-0000:5e:00.0-nvme-1. A path must name the same device after a restart.',
        string('Path under /dev.', { pattern: '^/dev/[^\\s]+$' }),
        { minItems: 1, maxItems: 32 },
      ),
    ),
    byId: optional(
      list('Devices by their name in /dev/disk/by-id.', string('Name, without the folder.', { pattern: '^[^/\\s]+$' }), {
        minItems: 1,
        maxItems: 32,
      }),
    ),
    filter: optional(filter),
    allUnused: optional(boolean('Every device that nobody uses and that is blank.')),
    files: optional(list('Files instead of devices.', file, { minItems: 1, maxItems: 16, keys: ['path'] })),
  }),
  rule(
    '[has(self.paths), has(self.byId), has(self.filter), has(self.allUnused) && self.allUnused, has(self.files)].filter(x, x).size() == 1',
    'give exactly one of paths, byId, filter, allUnused: true and files',
    (self) =>
      [self.paths, self.byId, self.filter, self.allUnused === true ? true : undefined, self.files].filter((x) => x !== undefined)
        .length === 1,
  ),
  rule(
    '!has(self.filter) || has(self.filter.model) || has(self.filter.minSize) || has(self.filter.maxSize) || has(self.filter.rotational)',
    'an empty filter would take every device; say allUnused: true if you mean that',
    (self) => self.filter === undefined || Object.keys(self.filter).length > 0,
  ),
  rule(
    '!has(self.filter) || !has(self.filter.minSize) || !has(self.filter.maxSize) || quantity(string(self.filter.minSize)).compareTo(quantity(string(self.filter.maxSize))) <= 0',
    'filter.minSize is larger than filter.maxSize',
    ({ filter: f }) =>
      f?.minSize === undefined ||
      f.maxSize === undefined ||
      (bytesOfQuantity(f.minSize) ?? 0) <= (bytesOfQuantity(f.maxSize) ?? 0),
  ),
);

export type DeviceSelector = Infer<typeof deviceSelector>;

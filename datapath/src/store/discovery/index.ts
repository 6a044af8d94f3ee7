// The door of the discovery of disks: what pfdiscover reports, and the choice among it, for the operator.
export { REPORT_VERSION, type Device, type DeviceUse, type DiscoveryReport, type Partition } from './device.ts';
export type { Candidate, Transport } from './device-kinds.ts';
export type { DeviceFilter } from './device-match.ts';
export { discover, type Discovery, type DiscoveryOptions, type DiscoveryWorld } from './discover.ts';
export { formatReportJson, formatReportTable } from './report.ts';
export { formatTerminationLog, parseTerminationLog, type ShortDevice, type ShortReport } from './short-report.ts';
export {
  select,
  type Chosen,
  type ChosenAs,
  type DeviceOverride,
  type DeviceSelector,
  type Erasure,
  type Refusal,
  type SelectableDevice,
  type Selecting,
  type Selection,
} from './select.ts';

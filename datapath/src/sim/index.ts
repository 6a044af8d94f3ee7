// The door of the simulated world, for tests and bin/sim.
export { BlockHistory } from './checkers/block-history.ts';
export type { ReadOperation, WriteOperation } from './checkers/block-history.ts';
export { checkAllQuiet, checkQuiet, leftovers } from './checkers/quiet.ts';
export { Violation } from './checkers/violation.ts';
export { DiskTrace } from './disk-trace.ts';
export { formatFaults, planFaults } from './fault-plan.ts';
export type { FaultGroup, FaultKnobs, FaultName, PlannedFault } from './fault-plan.ts';
export { FaultRunner } from './fault-runner.ts';
export { SeededRandom } from './seeded-random.ts';
export type { SimDiskDevice } from './sim-disk-device.ts';
export type { SimHost } from './sim-host.ts';
export type { SimProcess } from './sim-process.ts';
export { SimFailure, Simulator } from './simulator.ts';
export { SparseBytes } from './sparse-bytes.ts';
export { installThrowingGlobals } from './throwing-globals.ts';

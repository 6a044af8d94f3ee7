// A program that has closed leaves nothing behind: no timer, stream, listener, server, disk, file, lock, slot.
import { Arena } from '../../world/arena.ts';
import type { SimProcess } from '../sim-process.ts';
import type { Simulator } from '../simulator.ts';
import { Violation } from './violation.ts';

/** What a process holds now, one line each; empty when it is quiet. */
export function leftovers(process: SimProcess): string[] {
  const lines = [...process.resources].map((resource) => resource.describe());
  const { memory } = process.world;
  if (memory instanceof Arena && memory.takenSlots > 0) lines.push(`${memory.takenSlots} slots of I/O memory`);
  return lines;
}

/** Throws a Violation that names everything the process still holds. */
export function checkQuiet(process: SimProcess): void {
  const left = leftovers(process);
  if (left.length === 0) return;
  throw new Violation(
    `process ${process.name} on ${process.host.name} is not quiet after closing; it holds ${left.length} things: ${left.slice(0, 20).join(', ')}`,
  );
}

/** checkQuiet for every living process of the run. */
export function checkAllQuiet(sim: Simulator): void {
  for (const host of sim.hosts.values()) {
    for (const process of host.processes.values()) if (process.isAlive) checkQuiet(process);
  }
}

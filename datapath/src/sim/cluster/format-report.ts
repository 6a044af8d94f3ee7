// What became of one seed, for people who read it: called by bin/sim.ts.
import type { RunReport } from './cluster-run.ts';

/** `isWhole`: with the faults of a run that went well, and the log of one that did not. */
export function formatReport(report: RunReport, isWhole: boolean): string {
  const { seed, violation, profile, faults, traceHash, virtualMs, eventCount, requestCount, sectorsChecked, log } = report;
  const counts = `${virtualMs.toFixed(0)} ms of virtual time, ${eventCount} events, ${requestCount} requests, ${sectorsChecked} sectors checked, trace ${traceHash}`;
  if (violation === null) return `seed ${seed}: ${profile}\n${isWhole ? `${faults}\n` : ''}${counts}\n`;
  const told = isWhole ? `${log}\n` : '';
  return `${told}seed ${seed} VIOLATION: ${violation}\n  ${profile}\n  ${counts}\n  to see it again: make sim SEED=${seed}\n`;
}

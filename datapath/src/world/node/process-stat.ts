// What /proc says about a process. Called by node-processes.ts.
import { readFileSync } from 'node:fs';
import type { ProcessIdentity } from '../processes.ts';

export interface ProcessStat {
  /** One letter: R, S, D, T, Z, X. */
  readonly state: string;
  readonly startTicks: number;
}

/** The line of /proc/PID/stat. The command's name, field 2, may hold spaces and parentheses: fields count from the last ")". */
export function parseStat(line: string): ProcessStat | null {
  const end = line.lastIndexOf(')');
  if (end < 0) return null;
  const fields = line
    .slice(end + 1)
    .trim()
    .split(' ');
  const [state, startTicks] = [fields[0] ?? '', Number(fields[19])];
  return /^[A-Za-z]$/.test(state) && Number.isSafeInteger(startTicks) ? { state, startTicks } : null;
}

/** Null when no process with this id lives; a zombie has ended, unless `withZombies`. Does not wait: it stands right before a signal. */
export function readIdentity(pid: number, withZombies = false): ProcessIdentity | null {
  if (!Number.isSafeInteger(pid) || pid < 1) return null;
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null; // ENOENT or ESRCH: it has ended.
  }
  const stat = parseStat(line);
  if (stat === null || (!withZombies && /[ZXx]/.test(stat.state))) return null;
  return { pid, startTicks: stat.startTicks, bootId: readBootId() };
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

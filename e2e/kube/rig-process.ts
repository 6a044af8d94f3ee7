// A program of the rig: a daemon of this process that ends with it, whatever ends it, and the wait for its readiness, which
// gives up at once when the program has died. Called by control-plane.ts and node.ts.
import { get } from 'node:https';
import { get as getPlain } from 'node:http';
import { readdirSync, readFileSync } from 'node:fs';
import { Daemon } from '../local/daemon.ts';
import { waitFor } from '../local/wait-for.ts';

/** The kernel kills the program when this process ends, also by kill -9. */
export function rigProcess(name: string, folder: string, command: readonly string[]): Daemon {
  return new Daemon(name, folder, ['setpriv', '--pdeathsig', 'KILL', ...command]);
}

export async function waitUntilReady(daemon: Daemon, patienceMs: number, probe: () => Promise<boolean>): Promise<void> {
  await waitFor(`${daemon.name} to be ready`, patienceMs, async () => daemon.hasDied || ((await probe()) ? true : null));
  if (daemon.hasDied)
    throw new Error(`${daemon.name} ended (${await daemon.exited}) at its start; it said:\n${daemon.logTail()}`);
}

/** True while the process runs; one that ended and waits for its parent to notice does not. */
export function isAlive(pid: number): boolean {
  const seen = seenOf(pid);
  return seen !== null && !isOver(seen);
}

/** The process and all that came of it, children of children too, without those that have ended. Parents come first. */
export function familyOf(pid: number): readonly ProcessSeen[] {
  const children = new Map<number, ProcessSeen[]>();
  for (const name of readdirSync('/proc')) {
    const seen = /^\d+$/.test(name) ? seenOf(Number(name)) : null;
    if (seen === null) continue;
    const siblings = children.get(seen.parent);
    if (siblings === undefined) children.set(seen.parent, [seen]);
    else siblings.push(seen);
  }
  const first = seenOf(pid);
  const family = first === null ? [] : [first];
  for (const member of family) family.push(...(children.get(member.pid) ?? []));
  return family.filter((member) => !isOver(member));
}

export interface ProcessSeen {
  readonly pid: number;
  readonly parent: number;
  /** As in /proc/PID/stat: "R" runs, "S" sleeps, "D" waits in the kernel and takes no signal meanwhile, "T" is stopped. */
  readonly state: string;
}

const isOver = ({ state }: ProcessSeen): boolean => state === 'Z' || state === 'X';

function seenOf(pid: number): ProcessSeen | null {
  try {
    const found = /^.*\) (\S) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return found === null ? null : { pid, state: found[1]!, parent: Number(found[2]) };
  } catch {
    return null; // No such process.
  }
}

/** True when the address answers with status 200. `authority`: the PEM text that a server over TLS is checked against, or null for no check. */
export function answers(url: string, authority: string | null): Promise<boolean> {
  return new Promise((resolve) => {
    const take = (response: { statusCode?: number | undefined; resume(): void }): void => {
      response.resume();
      resolve(response.statusCode === 200);
    };
    const tls = authority === null ? { rejectUnauthorized: false } : { ca: authority };
    const request = url.startsWith('https:') ? get(url, { ...tls, agent: false }, take) : getPlain(url, { agent: false }, take);
    request.setTimeout(PROBE_MS_MAX, () => request.destroy());
    request.once('error', () => resolve(false)); // Not there yet: the caller asks again.
  });
}

const PROBE_MS_MAX = 2_000;

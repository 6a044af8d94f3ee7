// What ublk-contract.test.ts runs inside the guest beside the contract: a process that maps and unmaps is killed at any moment of that, and the
// next one serves the device or finds none. Tells how often it was which, as one line of JSON, and what is left.
//   usage: ublk-deaths-guest.ts DEATHS
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MapperRig } from '../../datapath/src/attach/testing/mapper-rig.ts';

const SIZE = 16 * 1024 * 1024;
const SERVE = resolve(import.meta.dirname, '../../datapath/src/attach/testing/serve-mapping.ts');
const deaths = Number(process.argv[2]);

/** Resolves with the time between the record and the end of the process. Null: it is not killed, and unmaps as soon as it has mapped. */
async function life(rig: MapperRig, name: string, killedAfterMs: number | null): Promise<number> {
  const args = [SERVE, 'ublk', rig.folder, name, rig.path(`${name}.image`), String(SIZE)];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  child.stdout.once('data', () => child.stdin.end('unmap\n'));
  child.stdin.on('error', () => {}); // It was killed before.
  while (!existsSync(join(rig.folder, `${name}.ublk.json`)) && child.exitCode === null) await pause(1);
  const beganMs = performance.now();
  const timer = killedAfterMs === null ? null : setTimeout(() => child.kill('SIGKILL'), killedAfterMs);
  await exited;
  if (timer !== null) clearTimeout(timer);
  return performance.now() - beganMs;
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}

const rig = await MapperRig.open('ublk');
const name = `${rig.prefix}1`;
await life(rig, name, null);
const lifeMs = await life(rig, name, null);
const found = { mapped: 0, adopted: 0 };
let longestMs = 0;
for (let death = 0; death < deaths; death += 1) {
  await life(rig, name, (lifeMs * death) / deaths);
  const startedMs = performance.now();
  const next = await rig.serve(name, SIZE);
  longestMs = Math.max(longestMs, performance.now() - startedMs);
  found[next.how as 'mapped' | 'adopted'] += 1;
  await next.tell('unmap');
}
// A record that was being written has another name, and means nothing.
const records = readdirSync(rig.folder).filter((file) => file.endsWith('.ublk.json'));
const devices = readdirSync('/sys/class/ublk-char');
console.log(JSON.stringify({ deaths, ...found, longestMs: Math.round(longestMs), lifeMs: Math.round(lifeMs), records, devices }));
await rig.close();

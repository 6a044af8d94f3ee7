// pfdiscover: lists the disks of a host for people and for the operator, then ends.
import { exitCodeOf } from '../api/errors.ts';
import { errorCodeOf, formatErrorChain } from '../base/errors.ts';
import { MiB } from '../base/sizes.ts';
import { DISCOVER_COMMAND } from '../cli/discover-command.ts';
import { parseFlags } from '../cli/flags.ts';
import { discover } from '../store/discovery/discover.ts';
import { formatReportJson, formatReportTable } from '../store/discovery/report.ts';
import { formatTerminationLog } from '../store/discovery/short-report.ts';
import { textLogger } from '../world/node/console-log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import { writeFile } from 'node:fs/promises';

const MEMORY_BYTES = 64 * MiB;

async function main(): Promise<void> {
  const command = parseFlags(DISCOVER_COMMAND, process.argv.slice(2));
  if (command.isHelp) {
    process.stdout.write(command.helpText);
    return;
  }
  const { json, loop, root, terminationLog, timeoutMs } = command.flags;
  const world = await openNodeWorld({ log: textLogger(), memoryBytes: MEMORY_BYTES });
  const { report, isHung } = await discover(world, { root: root.replace(/\/+$/, ''), allowsLoop: loop, timeoutMs });
  // Written in place: a container's termination log is a file that was mounted there, and cannot be replaced.
  if (terminationLog !== undefined) await writeFile(terminationLog, formatTerminationLog(report));
  await print(json ? formatReportJson(report) : formatReportTable(report));
  if (isHung) process.exit(0); // Closing the world would wait for the device that does not answer.
  await world.close();
}

function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${text}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`pfdiscover: ${formatErrorChain(error)}\n`);
  // An open world would keep the process alive.
  process.exit(exitCodeOf(errorCodeOf(error)));
});

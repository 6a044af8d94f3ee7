// pureflash-csi: the CSI driver, until SIGINT or SIGTERM. It may be killed at any moment: pfnbd keeps the devices, and what it did is found again.
import { readFile } from 'node:fs/promises';
import { exitCodeOf, withToken } from '@pureflash/datapath/api';
import { errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import { parseFlags, readToken } from '@pureflash/datapath/cli';
import { jsonLogger, openNodeWorld } from '@pureflash/datapath/world';
import { startDriver } from '../driver.ts';
import { LinuxHost } from '../host/linux-host.ts';
import { openSocketFiles } from '../host/socket-files.ts';
import { CSI_COMMAND, settingsOf } from './csi-command.ts';

/** It talks; data goes elsewhere. */
const MEMORY_BYTES = 8 * 1024 * 1024;

async function main(): Promise<void> {
  const command = parseFlags(CSI_COMMAND, process.argv.slice(2));
  if (command.isHelp) {
    process.stdout.write(command.helpText);
    return;
  }
  const { flags } = command;
  const settings = settingsOf(flags);
  const token = await readToken(flags.tokenFile, (path) => readFile(path, 'utf8'));
  const log = jsonLogger({ level: flags.logLevel });
  const bare = await openNodeWorld({ ports: 'libuv', memoryBytes: MEMORY_BYTES, log });
  const world = token === null ? bare : withToken(bare, token);
  const driver = await startDriver({ world, host: new LinuxHost(), sockets: openSocketFiles() }, settings);
  process.stdout.write(`pureflash-csi: ${flags.mode} serves CSI at ${settings.socketPath}\n`);
  const stop = async (): Promise<void> => {
    await driver.stop();
    await world.close();
  };
  process.once('SIGTERM', () => void stop());
  process.once('SIGINT', () => void stop());
  void driver.failed.then(async (error) => {
    process.stderr.write(`pureflash-csi: ${formatErrorChain(error)}\n`);
    process.exitCode = exitCodeOf(errorCodeOf(error));
    await stop();
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`pureflash-csi: ${formatErrorChain(error)}\n`);
  process.exit(exitCodeOf(errorCodeOf(error)));
});

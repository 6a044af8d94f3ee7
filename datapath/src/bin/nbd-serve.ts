// nbd-serve: serves one block device to NBD clients until it is told to stop.
import { formatErrorChain } from '../base/errors.ts';
import { openBlockSource } from '../cli/block-sources.ts';
import { parseFlags, type CommandSpec } from '../cli/flags.ts';
import { PfError } from '../base/errors.ts';
import { serveNbd } from '../nbd/index.ts';
import { formatAddress, type Address } from '../world/network.ts';
import { openNodeWorld } from '../world/node/node-world.ts';

const COMMAND = {
  name: 'nbd-serve',
  summary: 'Serves a block device over NBD until SIGINT or SIGTERM.',
  arguments: [{ name: 'SOURCE', help: 'memory:SIZE or file:PATH' }],
  flags: {
    unix: { kind: 'string', help: 'listen on a unix socket', placeholder: 'PATH' },
    tcp: { kind: 'tcp-address', help: 'listen on a TCP address' },
    export: { kind: 'string', help: 'name of the export', placeholder: 'NAME', default: '' },
    readOnly: { kind: 'boolean', help: 'refuse writes' },
  },
  examples: ['nbd-serve memory:1G --unix /run/nbd.sock', 'nbd-serve file:/var/lib/disk.img --tcp 127.0.0.1:10809 --export disk'],
} as const satisfies CommandSpec;

async function main(): Promise<void> {
  const command = parseFlags(COMMAND, process.argv.slice(2));
  if (command.isHelp) {
    process.stdout.write(command.helpText);
    return;
  }
  const { unix, tcp, readOnly, export: exportName } = command.flags;
  if ((unix === undefined) === (tcp === undefined)) {
    throw new PfError('INVALID_ARGUMENT', 'nbd-serve: give either --unix PATH or --tcp HOST:PORT');
  }
  const address: Address = tcp ?? { kind: 'unix', path: unix! };
  const world = await openNodeWorld();
  const source = await openBlockSource(world, command.arguments[0]!, { isReadOnly: readOnly });
  const server = await serveNbd(world, { address, exports: [{ name: exportName, device: source.device }] });
  process.stdout.write(`nbd-serve: serving ${source.title} on ${formatAddress(server.address!)}\n`);
  const stop = async (): Promise<void> => {
    await server.close();
    await source.device.close();
    await world.close();
  };
  process.once('SIGINT', () => void stop());
  process.once('SIGTERM', () => void stop());
}

main().catch((error: unknown) => {
  process.stderr.write(`${formatErrorChain(error)}\n`);
  process.exitCode = 1;
});

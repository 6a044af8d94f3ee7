// The driver as bin/csi.ts starts it, with every step counted that it takes at the machine, at pfnbd and at a conductor: right after the one that
// PF_DIE_AFTER names it kills itself, before it knows how that step went. Started by every-step.test.ts.
import { parseFlags } from '@pureflash/datapath/cli';
import { jsonLogger, openNodeWorld } from '@pureflash/datapath/world';
import { CSI_COMMAND, settingsOf } from '../../csi/src/bin/csi-command.ts';
import { startDriver } from '../../csi/src/driver.ts';
import { LinuxHost } from '../../csi/src/host/linux-host.ts';
import { openSocketFiles } from '../../csi/src/host/socket-files.ts';

const lastStep = Number(process.env['PF_DIE_AFTER']);
let steps = -Infinity;

function step(): void {
  steps += 1;
  if (steps === lastStep) process.kill(process.pid, 'SIGKILL');
}

/** The same thing; each promise that one of its methods gave is a step when it settles. */
function counted<T extends object>(target: T): T {
  return new Proxy(target, {
    get: (_target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        const result: unknown = value.apply(target, args);
        return result instanceof Promise ? result.finally(step) : result;
      };
    },
  });
}

const command = parseFlags(CSI_COMMAND, process.argv.slice(2));
if (command.isHelp) throw new Error('this driver is for a test; ask csi/bin/csi for help');
const settings = settingsOf(command.flags);
const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 8 * 1024 * 1024, log: jsonLogger({ level: 'warn' }) });
const { files, http } = world;
const countedWorld = new Proxy(world, {
  get: (_target, key) => {
    if (key === 'files') return counted(files);
    if (key === 'http') return counted(http);
    const value: unknown = Reflect.get(world, key, world);
    return typeof value === 'function' ? value.bind(world) : value;
  },
});
await startDriver({ world: countedWorld, host: counted(new LinuxHost()), sockets: openSocketFiles() }, settings);
// Its start is no part of any call.
steps = 0;

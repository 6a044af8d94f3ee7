// A daemon for tests, run as a process of its own: daemon.ts MODE NAME SOCKET CONFIG-FILE. It serves as a multiplexing one, too.
// While it lives it owns a TCP port, when its configuration names one: two of them cannot live side by side unseen.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import type { Json } from '../../base/json.ts';
import { ControlServer } from '../control-server.ts';
import { MuxServer } from '../mux-server.ts';

interface TestConfig {
  readonly value?: Json;
  readonly port?: number;
  readonly crashAfterMs?: number;
  readonly grandchildFile?: string;
  readonly refuse?: string;
}

/** A test that was killed leaves its daemons: they end by themselves. */
const LIFE_MS = Number(process.env['PF_TEST_DAEMON_LIFE_MS'] ?? 180_000);

const [mode = 'normal', name = '', socketPath = '', configPath = ''] = process.argv.slice(2);
let config = JSON.parse(readFileSync(configPath, 'utf8')) as TestConfig;
let reconfigurations = 0;
let steps = 0;
console.log(`${name} starts as ${process.pid}`);

setTimeout(() => process.exit(9), LIFE_MS).unref();
if (mode === 'fail-on-init') throw new Error('cannot initialize: this is what I am for');
process.on('SIGTERM', () => {
  if (mode !== 'ignore-sigterm') process.exit(0);
});
if (config.port !== undefined) await own(config.port);
if (config.grandchildFile !== undefined) {
  const grandchild = spawn('sleep', ['300'], { stdio: 'ignore' });
  writeFileSync(config.grandchildFile, String(grandchild.pid));
}
if (config.crashAfterMs !== undefined) setTimeout(() => process.exit(7), config.crashAfterMs);
if (mode === 'slow-start') await new Promise((resolve) => setTimeout(resolve, 700));

const world = await openNodeWorld({ log: silentLogger, ports: process.env['PF_PORTS'] === 'io_uring' ? 'io_uring' : 'libuv', memoryBytes: 16 * 1024 * 1024 });
const mux = new MuxServer({
  async attach(attached) {
    steps += 1;
    if (attached === config.refuse) throw new Error(`${attached} cannot be served`);
  },
  async change() {
    steps += 1;
  },
  async detach() {
    steps += 1;
  },
});

if (mode === 'no-socket') setInterval(() => {}, 1000);
else {
  const server = await ControlServer.open(world, {
    socketPath,
    name,
    pid: process.pid,
    handlers: {
      ...mux.handlers,
      reconfigure: (body) => {
        if ((body as TestConfig).value === 'bad') throw new Error('bad is no value');
        config = body as TestConfig;
        reconfigurations += 1;
        return null;
      },
      state: () => ({ value: config.value ?? null, reconfigurations, steps }),
      closeSocket: () => {
        setImmediate(() => void server.close());
        setInterval(() => {}, 1000);
        return null;
      },
    },
  });
}

/** Two instances cannot own one port. */
function own(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    createServer().once('error', reject).listen(port, '127.0.0.1', resolve);
  });
}

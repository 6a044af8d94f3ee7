// A server and a client of ours on a real unix socket: answers, statuses, deadlines, cancellation, limits, the log and the end.
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { createConnection, createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import { openNodeWorld, type Logger, type LogLevel, type World } from '@pureflash/datapath/world';
import { openSocketFiles } from '../host/socket-files.ts';
import { Controller } from '../messages/controller-service.ts';
import { command, message, service, text } from '../messages/description.ts';
import { Identity } from '../messages/identity-service.ts';
import { Node } from '../messages/node-service.ts';
import { connectGrpc, type GrpcConnection } from './grpc-client.ts';
import { implement, serveGrpc, type Call, type GrpcServer, type GrpcServerOptions, type Handlers } from './grpc-server.ts';
import { RpcError } from './status.ts';

interface Line extends Readonly<Record<string, unknown>> {
  readonly level: LogLevel;
  readonly message: string;
}

const folder = mkdtempSync(join(tmpdir(), 'grpc-'));
const world: World = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 * 1024 });
const lines: Line[] = [];
const opened: (Disposable | AsyncDisposable)[] = [];
let sockets = 0;

test.after.each(async () => {
  for (const one of opened.splice(0).reverse()) {
    if (Symbol.asyncDispose in one) await one[Symbol.asyncDispose]();
    else one[Symbol.dispose]();
  }
  lines.length = 0;
});
test.after(async () => {
  await world.close();
  rmSync(folder, { recursive: true });
});

test('a call reaches its handler with a whole request, and its answer comes back whole', async () => {
  const seen: unknown[] = [];
  const { connection } = await start({
    createVolume: async (request) => {
      seen.push(request);
      return { volume: { volumeId: request.name, capacityBytes: 2 ** 40 } };
    },
  });
  const answer = await connection.client(Controller).createVolume({ name: 'pvc-1', parameters: { replicas: '3' } });
  assert.equal(answer, {
    volume: { volumeId: 'pvc-1', capacityBytes: 2 ** 40, volumeContext: {}, contentSource: null, accessibleTopology: [] },
  });
  assert.equal(seen, [
    {
      name: 'pvc-1',
      capacityRange: null,
      volumeCapabilities: [],
      parameters: { replicas: '3' },
      secrets: {},
      volumeContentSource: null,
      accessibilityRequirements: null,
      mutableParameters: {},
    },
  ]);
});

test('several services share a socket; what has no handler is UNIMPLEMENTED', async () => {
  const socketPath = freshPath();
  const services = [
    implement(Identity, { probe: async () => ({ ready: { value: true } }) }),
    implement(Node, { nodeGetInfo: async () => ({ nodeId: 'n1' }) }),
  ];
  await serve({ socketPath, services });
  const connection = open(socketPath);
  assert.equal(await connection.client(Identity).probe({}), { ready: { value: true } });
  assert.is((await connection.client(Node).nodeGetInfo({})).nodeId, 'n1');
  assert.is((await refusal(connection.client(Node).nodeGetCapabilities({}))).status, 'UNIMPLEMENTED');
  assert.is((await refusal(connection.client(Controller).listVolumes({}))).status, 'UNIMPLEMENTED');
});

test('a failure is its status and its sentences; an unexpected one is INTERNAL, logged with its stack and answered without', async () => {
  const failures: Record<string, Error> = {
    space: new PfError('NO_SPACE', 'cannot create volume: 0 bytes free', { cause: new Error('every disk is full') }),
    busy: new RpcError('ABORTED', 'another call works on volume "v"'),
    bug: new TypeError('x is not a function'),
    odd: new PfError('INVALID_ARGUMENT', `name "ü\ud800\n${'x'.repeat(5_000)}"`),
  };
  const { connection } = await start({ createVolume: (request) => Promise.reject(failures[request.name] as Error) });
  const call = (name: string): Promise<RpcError> => refusal(connection.client(Controller).createVolume({ name }));
  const space = await call('space');
  assert.equal([space.status, space.message], ['RESOURCE_EXHAUSTED', 'cannot create volume: 0 bytes free: every disk is full']);
  assert.equal((await call('busy')).status, 'ABORTED');
  const bug = await call('bug');
  assert.equal([bug.status, bug.message], ['INTERNAL', 'x is not a function']);
  const odd = await call('odd');
  assert.equal([odd.status, odd.message.slice(0, 10), odd.message.length], ['INVALID_ARGUMENT', 'name "ü\ufffd\nx', 2_000]);
  assert.equal(
    lines.map((line) => [line.level, line['code']]),
    [
      ['warn', 'RESOURCE_EXHAUSTED'],
      ['warn', 'ABORTED'],
      ['error', 'INTERNAL'],
      ['warn', 'INVALID_ARGUMENT'],
    ],
  );
  assert.match(String(lines[2]?.['stack']), /TypeError: x is not a function\n +at /);
});

test('each call is one line with its method, names, time and code, and never a secret', async () => {
  const { connection } = await start({
    controllerPublishVolume: async () => ({}),
    listVolumes: async () => ({}),
  });
  const controller = connection.client(Controller);
  await controller.controllerPublishVolume({
    volumeId: `v${'1'.repeat(4_096)}`,
    nodeId: 'n1',
    secrets: { password: 'hunter2' },
    volumeContext: { token: 'hunter2' },
  });
  await controller.listVolumes({ startingToken: '7' });
  const [publish, list] = lines;
  assert.equal(
    { ...publish, ms: 0 },
    {
      level: 'info',
      message: 'call',
      method: '/csi.v1.Controller/ControllerPublishVolume',
      volumeId: `v${'1'.repeat(199)}`,
      nodeId: 'n1',
      ms: 0,
      code: 'OK',
    },
  );
  assert.is(list?.level, 'debug');
  assert.is(list?.['startingToken'], '7');
  assert.not.match(JSON.stringify(lines), /hunter2/);
});

test('a text that is a secret is not logged either', async () => {
  const Request = message('test.Request', { name: text(1), password: { ...text(2), isSecret: true } });
  const Vault = service('test.Vault', { open: command(Request, message('test.Response', {})) });
  const socketPath = freshPath();
  await serve({ socketPath, services: [implement(Vault, { open: async () => ({}) })] });
  await open(socketPath).client(Vault).open({ name: 'front', password: 'hunter2' });
  assert.equal(
    { ...lines[0], ms: 0 },
    { level: 'info', message: 'call', method: '/test.Vault/Open', name: 'front', ms: 0, code: 'OK' },
  );
});

test('bytes that are no request, and numbers that a double cannot hold, are INVALID_ARGUMENT and reach no handler', async () => {
  let reached = 0;
  const { socketPath } = await start({
    createVolume: async () => {
      reached++;
      return {};
    },
  });
  const path = '/csi.v1.Controller/CreateVolume';
  assert.equal(await rawCall(socketPath, { ':path': path }, Buffer.from('0a05', 'hex')), {
    status: '3',
    message: 'cannot read csi.v1.CreateVolumeRequest: name: the bytes are no such message: index out of range: 2 + 5 > 2',
  });
  const huge = await rawCall(socketPath, { ':path': path }, Buffer.from('120a08ffffffffffffffff7f', 'hex'));
  assert.match(
    huge.message,
    /capacity_range\.required_bytes: a whole number from -\(2\^53 - 1\) to 2\^53 - 1 wanted, got 9223372036854775807$/,
  );
  assert.is(huge.status, '3');
  assert.is((await rawCall(socketPath, { ':path': path }, Buffer.alloc(5 * 1024 * 1024))).status, '8');
  assert.is(reached, 0);
});

test('the signal is aborted when the deadline passes, and the caller is told', async () => {
  const reasons: unknown[] = [];
  const { connection } = await start({ createVolume: (_request, call) => untilAborted(call, reasons) });
  const startedMs = world.clock.now();
  const error = await refusal(connection.client(Controller).createVolume({ name: 'v' }, { timeoutMs: 50 }));
  assert.is(error.status, 'DEADLINE_EXCEEDED');
  assert.ok(world.clock.now() - startedMs < 2_000);
  await until(() => reasons.length === 1);
  assert.ok(['TIMEOUT', 'CANCELLED'].includes((reasons[0] as PfError).code));
});

test('a caller without a deadline has that of the server; a handler that never ends is left behind', async () => {
  const { server, socketPath } = await start({ createVolume: () => new Promise(() => {}) }, { callMsMax: 40 });
  const answer = await rawCall(socketPath, { ':path': '/csi.v1.Controller/CreateVolume' }, Buffer.alloc(0));
  assert.equal(answer, { status: '4', message: '/csi.v1.Controller/CreateVolume: no answer within 40 ms' });
  await server.stop();
  assert.equal(lines.at(-1), { level: 'error', message: 'calls were aborted and go on; their work is left behind', count: 1 });
});

test('the signal is aborted when the caller leaves', async () => {
  const reasons: unknown[] = [];
  let calls = 0;
  const { connection } = await start({
    createVolume: (_request, call) => {
      calls++;
      return untilAborted(call, reasons);
    },
  });
  const leaving = new AbortController();
  const running = connection.client(Controller).createVolume({ name: 'v' }, { signal: leaving.signal });
  await until(() => calls === 1);
  leaving.abort(new Error('enough'));
  await running.then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'enough'),
  );
  await until(() => reasons.length === 1);
  assert.is((reasons[0] as PfError).code, 'CANCELLED');
});

test('more calls than the limit are refused as UNAVAILABLE', async () => {
  const gate = new AbortController();
  const { connection } = await start({ createVolume: () => opening(gate.signal, { volume: {} }) }, { callsMax: 2 });
  const controller = connection.client(Controller);
  const first = [controller.createVolume({ name: 'a' }), controller.createVolume({ name: 'b' })];
  const third = await refusal(controller.createVolume({ name: 'c' }));
  assert.equal([third.status, third.message], ['UNAVAILABLE', '2 calls are under way, which is the limit; call again']);
  gate.abort();
  await Promise.all(first);
});

test('stop() waits for calls under way and takes no new ones; after its grace it aborts them', async () => {
  const gate = new AbortController();
  const reasons: unknown[] = [];
  const { server, connection, socketPath } = await start({
    createVolume: () => opening(gate.signal, {}),
    deleteVolume: (_request, call) => untilAborted(call, reasons),
  });
  const slow = connection.client(Controller).createVolume({ name: 'a' });
  const endless = refusal(connection.client(Controller).deleteVolume({ volumeId: 'b' }));
  await until(async () => (await ask(socketPath)) === 'UNIMPLEMENTED');
  const stopping = server.stop(300);
  assert.is(server.stop(), stopping);
  await until(async () => (await ask(socketPath)) !== 'UNIMPLEMENTED');
  gate.abort();
  assert.equal(await slow, { volume: null });
  await stopping;
  assert.is((reasons[0] as PfError).code, 'UNAVAILABLE');
  assert.ok(['UNAVAILABLE', 'CANCELLED'].includes((await endless).status));
  assert.is(existsSync(socketPath), false);
});

test('the socket is for its owner only; a stale one is replaced, a served one is not, and neither is a file', async () => {
  const { server, socketPath } = await start({});
  assert.is((statSync(socketPath).mode & 0o777).toString(8), '600');
  const second = serveGrpc(ports(), { socketPath, services: [] });
  assert.match(await messageOf(second), /^cannot listen at .*: another process answers there; stop it or choose another path$/);
  assert.is(await ask(socketPath), 'UNIMPLEMENTED');
  await server.stop();

  const stale = freshPath();
  await leaveStaleSocket(stale);
  chmodSync(stale, 0o666);
  await serve({ socketPath: stale, services: [] });
  assert.is((statSync(stale).mode & 0o777).toString(8), '600');

  const file = freshPath();
  writeFileSync(file, '');
  assert.match(await messageOf(serveGrpc(ports(), { socketPath: file, services: [] })), /a file that is no socket is there/);
  const long = join(folder, 'x'.repeat(108));
  assert.match(
    await messageOf(serveGrpc(ports(), { socketPath: long, services: [] })),
    /an absolute path of at most 107 bytes wanted/,
  );
  assert.match(await messageOf(serveGrpc(ports(), { socketPath: 'csi.sock', services: [] })), /an absolute path/);
});

test('a server whose socket goes while it is made listens no more: nothing of it keeps the process', async () => {
  const socketPath = freshPath();
  const elsewhere = freshPath();
  const { restrict, ...rest } = openSocketFiles();
  const goneMeanwhile = {
    ...rest,
    async restrict(path: string): Promise<void> {
      renameSync(path, elsewhere);
      await restrict(path);
    },
  };
  const ports = { clock: world.clock, log: world.log, sockets: goneMeanwhile };
  const refused = await serveGrpc(ports, { socketPath, services: [] }).catch((error: unknown) => error);
  assert.match(String(refused), 'ENOENT');
  const answer = await new Promise((resolve) => {
    const socket = createConnection(elsewhere, () => resolve('it listens'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  });
  assert.is(answer, 'ECONNREFUSED');
});

test('a folder that is missing is made', async () => {
  const socketPath = join(folder, 'a', 'b', 'csi.sock');
  await serve({ socketPath, services: [] });
  assert.is(await ask(socketPath), 'UNIMPLEMENTED');
});

test('a client finds the server again after its restart', async () => {
  const { server, connection, socketPath } = await start({ listVolumes: async () => ({ nextToken: '1' }) });
  assert.is((await connection.client(Controller).listVolumes({})).nextToken, '1');
  await server.stop();
  assert.is((await refusal(connection.client(Controller).listVolumes({}))).status, 'UNAVAILABLE');
  await serve({ socketPath, services: [implement(Controller, { listVolumes: async () => ({ nextToken: '2' }) })] });
  await until(
    async () =>
      (
        await connection
          .client(Controller)
          .listVolumes({})
          .catch(() => null)
      )?.nextToken === '2',
  );
});

test('authorities that callers make of a socket path are served', async () => {
  const { socketPath } = await start({});
  const path = '/csi.v1.Controller/CreateVolume';
  const authorities = ['localhost', 'localhost:0', encodeURIComponent(socketPath), 'unix:0'].map((name) => ({
    ':authority': name,
  }));
  for (const headers of [...authorities, { host: 'none' }]) {
    assert.is((await rawCall(socketPath, { ':path': path, ...headers }, Buffer.alloc(0))).status, '12', JSON.stringify(headers));
  }
});

function freshPath(): string {
  return join(folder, `${++sockets}.sock`);
}

function ports(): { clock: World['clock']; log: Logger; sockets: ReturnType<typeof openSocketFiles> } {
  return { clock: world.clock, log: recorder(), sockets: openSocketFiles() };
}

async function serve(options: GrpcServerOptions): Promise<GrpcServer> {
  const server = await serveGrpc(ports(), options);
  opened.push(server);
  return server;
}

function open(socketPath: string): GrpcConnection {
  const connection = connectGrpc(world.clock, socketPath);
  opened.push(connection);
  return connection;
}

async function start(
  handlers: Handlers<typeof Controller>,
  options: Partial<GrpcServerOptions> = {},
): Promise<{ server: GrpcServer; connection: GrpcConnection; socketPath: string }> {
  const socketPath = freshPath();
  const server = await serve({ socketPath, services: [implement(Controller, handlers)], ...options });
  return { server, connection: open(socketPath), socketPath };
}

function recorder(): Logger {
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      void lines.push({ level, message, ...fields });
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
    setLevel: () => {},
  };
  return logger;
}

async function refusal(answer: Promise<unknown>): Promise<RpcError> {
  const error = await answer.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.instance(error, RpcError);
  return error as RpcError;
}

async function messageOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => assert.unreachable() as never,
    (error: Error) => error.message,
  );
}

/** The status of a call that nobody implements: UNIMPLEMENTED when the server lives. */
async function ask(socketPath: string): Promise<string> {
  using connection = connectGrpc(world.clock, socketPath);
  return (await refusal(connection.client(Identity).probe({}, { timeoutMs: 1_000 }))).status;
}

function untilAborted(call: Call, reasons: unknown[]): Promise<never> {
  return new Promise((_resolve, reject) => {
    call.signal.addEventListener('abort', () => {
      reasons.push(call.signal.reason);
      reject(call.signal.reason as Error);
    });
  });
}

function opening<T>(signal: AbortSignal, value: T): Promise<T> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(value)));
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = world.clock.now() + 5_000;
  while (!(await holds())) {
    if (world.clock.now() > deadlineMs) throw new Error('what was waited for did not come within 5 s');
    await world.clock.sleep(5);
  }
}

/** A socket file that nobody serves: what a process leaves that was killed. */
async function leaveStaleSocket(path: string): Promise<void> {
  const other = join(folder, `${++sockets}.left`);
  const server = createSocketServer();
  await new Promise<void>((resolve) => server.listen(other, resolve));
  renameSync(other, path);
  await new Promise((resolve) => server.close(resolve));
  await new Promise<void>((resolve) => createConnection(path).once('error', () => resolve()));
}

/** A gRPC call by Node's own HTTP/2 client, with headers and bytes as they are given. */
function rawCall(
  socketPath: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<{ status: string; message: string }> {
  return new Promise((resolve, reject) => {
    const session = connect('http://localhost', { createConnection: () => createConnection(socketPath) });
    session.once('error', reject);
    const stream = session.request({ ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers', ...headers });
    let answer: Record<string, unknown> = {};
    const take = (got: Record<string, unknown>): void => void (answer = { ...answer, ...got });
    stream.once('response', take).once('trailers', take).once('error', reject).resume();
    stream.once('close', () => {
      session.close();
      resolve({ status: String(answer['grpc-status']), message: decodeURIComponent(String(answer['grpc-message'] ?? '')) });
    });
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(body.length, 1);
    stream.end(Buffer.concat([frame, body]));
  });
}

test.run();

// Both halves of a control socket, in one process: greeting, requests, refusals, reconnecting, silence, and strangers at the door.
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../base/errors.ts';
import type { Stream } from '../world/network.ts';
import { eventually, RecordingHandler } from '../world/testing/contract-world.ts';
import { askPid, Connection, DEFAULT_CONNECTION_TIMINGS, type ConnectionEvent } from './connection.ts';
import { encodeFrame, type Frame } from './control-frames.ts';
import { ControlServer, type ControlHandler } from './control-server.ts';
import { inRig, messageOf, type Rig } from './testing/daemon-rig.ts';

const TIMINGS = { ...DEFAULT_CONNECTION_TIMINGS, firstRetryMs: 5, maxRetryMs: 20, pingIntervalMs: 30, pingTimeoutMs: 300 };

interface Ends {
  readonly connection: Connection;
  readonly events: string[];
  readonly socketPath: string;
}

function newConnection(rig: Rig, name = 'echo'): Ends {
  const events: string[] = [];
  const socketPath = join(rig.folder, 'c.sock');
  const onEvent = (event: ConnectionEvent): void => {
    events.push(event.kind === 'disconnected' ? `disconnected: ${event.reason.code}` : event.kind);
  };
  return { connection: new Connection(rig.world, { socketPath, name, timings: TIMINGS, onEvent }), events, socketPath };
}

const HANDLERS: Record<string, ControlHandler> = {
  echo: (body) => body,
  refuse: () => {
    throw new PfError('NO_SPACE', 'there is no room');
  },
  never: () => new Promise(() => {}),
  large: () => 'x'.repeat(2 * 1024 * 1024),
};

function serve(rig: Rig, socketPath: string, name = 'echo'): Promise<ControlServer> {
  return ControlServer.open(rig.world, { socketPath, name, pid: 4242, handlers: HANDLERS });
}

test(
  'requests are answered or refused, in any number at a time; connect() may come before the daemon',
  inRig(async (rig) => {
    const { connection, events, socketPath } = newConnection(rig);
    assert.match(await messageOf(connection.request('echo', 1, 1000)), /^CONNECTION_LOST: .*it is not connected/);
    connection.connect();
    connection.connect();
    const server = await serve(rig, socketPath);
    await eventually(rig.world, 'it is connected', () => connection.isConnected);
    const bodies = Array.from({ length: 300 }, (_, index) => ({ index, text: 'ä'.repeat(index) }));
    assert.equal(await Promise.all(bodies.map((body) => connection.request('echo', body, 5000))), bodies);
    assert.is(await messageOf(connection.request('refuse', null, 1000)), 'NO_SPACE: there is no room');
    assert.match(await messageOf(connection.request('nothing', null, 1000)), /^UNSUPPORTED: cannot do "nothing"/);
    assert.match(
      await messageOf(connection.request('large', null, 1000)),
      /^OUT_OF_RANGE: cannot send a reply of 20971\d\d bytes/,
    );
    assert.match(await messageOf(connection.request('never', null, 20)), /^TIMEOUT: echo did not answer "never" within 20 ms/);
    const abort = new AbortController();
    const waiting = messageOf(connection.request('never', null, 5000, abort.signal));
    abort.abort(new PfError('CANCELLED', 'enough'));
    assert.is(await waiting, 'CANCELLED: enough');
    assert.is(await askPid(rig.world, socketPath, 'echo', 1000), 4242);
    assert.is(await askPid(rig.world, socketPath, 'other', 1000), null);
    connection.destroy();
    connection.destroy();
    assert.equal(events, ['connected', 'disconnected: CANCELLED', 'destroyed']);
    await server.close();
    assert.is(await askPid(rig.world, socketPath, 'echo', 1000), null);
  }),
);

test(
  'a daemon that comes again is connected again; what waited is told that it is lost',
  inRig(async (rig) => {
    const { connection, events, socketPath } = newConnection(rig);
    connection.connect();
    for (let round = 0; round < 3; round += 1) {
      const server = await serve(rig, socketPath);
      await eventually(rig.world, 'it is connected', () => connection.isConnected);
      const waiting = messageOf(connection.request('never', null, 5000));
      await server.close();
      assert.match(await waiting, /^CONNECTION_LOST: echo went offline before it answered/);
    }
    connection.destroy();
    const round = ['connected', 'disconnected: CONNECTION_LOST'];
    assert.equal(events, [...round, ...round, ...round, 'destroyed']);
  }),
);

/** A server that says what the test wants, and no more. */
async function scripted(
  rig: Rig,
  socketPath: string,
  frames: readonly Frame[],
): Promise<{ streams: Stream[]; close(): Promise<void> }> {
  const streams: Stream[] = [];
  const listener = await rig.world.network.listen({ kind: 'unix', path: socketPath }, (stream) => {
    streams.push(stream);
    stream.handler = { onBytes() {}, onDirect() {}, onClosed() {} };
    for (const frame of frames) stream.writeBytes(encodeFrame(frame));
  });
  return { streams, close: () => listener.close() };
}

test(
  'a daemon that does not answer a ping, or does not greet, is offline within the timeout',
  inRig(async (rig) => {
    const { connection, events, socketPath } = newConnection(rig);
    const server = await scripted(rig, socketPath, [{ kind: 'hello', protocol: 1, name: 'echo', pid: 1 }]);
    connection.connect();
    await eventually(rig.world, 'it is offline', () => events.includes('disconnected: TIMEOUT'));
    connection.destroy();
    await server.close();
    const mute = newConnection(rig);
    const second = await scripted(rig, socketPath, []);
    mute.connection.connect();
    await eventually(rig.world, 'it has tried twice', () => second.streams.length >= 2);
    mute.connection.destroy();
    assert.equal(mute.events, ['destroyed']);
    await second.close();
  }),
);

test(
  'another name, another protocol and a second greeting are not accepted',
  inRig(async (rig) => {
    const hello: Frame = { kind: 'hello', protocol: 1, name: 'echo', pid: 1 };
    const scripts: [Frame[], string[]][] = [
      [[{ ...hello, name: 'other' }], ['destroyed']],
      [[{ ...hello, protocol: 2 }], ['destroyed']],
      [[{ kind: 'request', id: 1, operation: 'x', body: null }], ['destroyed']],
      [
        [hello, hello],
        ['connected', 'disconnected: PROTOCOL_ERROR'],
      ],
    ];
    for (const [frames, expected] of scripts) {
      const { connection, events, socketPath } = newConnection(rig);
      const server = await scripted(rig, socketPath, frames);
      connection.connect();
      await eventually(rig.world, 'it has tried twice', () => server.streams.length >= 2);
      connection.destroy();
      assert.equal(events.slice(0, expected.length), expected);
      await server.close();
    }
  }),
);

test(
  'a client that sends what is no request, or too many of them, loses its connection; others do not notice',
  inRig(async (rig) => {
    const { connection, socketPath } = newConnection(rig);
    const server = await serve(rig, socketPath);
    connection.connect();
    await eventually(rig.world, 'it is connected', () => connection.isConnected);
    const flood = Array.from({ length: 1025 }, (_, id) => encodeFrame({ kind: 'request', id, operation: 'never', body: null }));
    const bad = [
      [new Uint8Array([0xff, 0xff, 0xff, 0xff])],
      [new Uint8Array([2, 0, 0, 0, 0x7b, 0x7b])],
      [encodeFrame({ kind: 'reply', id: 1, body: null })],
      flood,
    ];
    for (const pieces of bad) {
      const stream = await rig.world.network.connect({ kind: 'unix', path: socketPath }, 1000);
      const handler = new RecordingHandler(rig.world);
      stream.handler = handler;
      for (const piece of pieces) stream.writeBytes(piece);
      await eventually(rig.world, 'the server closes', () => handler.isClosed);
    }
    assert.is(await connection.request('echo', 'still here', 1000), 'still here');
    connection.destroy();
    await server.close();
  }),
);

test(
  'a second daemon cannot listen while the first one answers',
  inRig(async (rig) => {
    const socketPath = join(rig.folder, 'c.sock');
    const server = await serve(rig, socketPath);
    assert.match(await messageOf(serve(rig, socketPath)), /^ALREADY_EXISTS/);
    await server.close();
  }),
);

test.run();

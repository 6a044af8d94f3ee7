// Which connections a client keeps, and what it sends again when one is lost. The server is scripted on a bare socket.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HttpCall } from '../http.ts';
import { codeOf } from '../testing/contract-world.ts';
import { HttpClient } from './http-client.ts';

const KEPT = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
/** In place of an answer: the connection is closed. */
const LOST = '';
/** An answer that has begun when its connection is closed. */
const CUT = 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut';

/** Answers the requests in order, whatever connections they come on; keeps the connections open unless told otherwise. */
class ScriptedHttpServer {
  /** "1 GET /a": the connection's number and the request line. */
  readonly requests: string[] = [];
  port = 0;
  readonly #answers: readonly string[];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #connections = 0;

  constructor(answers: readonly string[]) {
    this.#answers = answers;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  async open(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as { port: number }).port;
    return this;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    const connection = (this.#connections += 1);
    this.#sockets.add(socket);
    socket.on('error', () => {});
    // The client writes a small request in one piece.
    socket.on('data', (bytes: Buffer) => {
      const [method, target] = bytes.toString('latin1').split(' ');
      const answer = this.#answers[this.requests.length] ?? LOST;
      this.requests.push(`${connection} ${method} ${target}`);
      if (answer === LOST || answer === CUT) socket.end(answer);
      else socket.write(answer);
    });
  }
}

/** Calls one after the other: for each its status, or its error's code. */
async function run(server: ScriptedHttpServer, lines: readonly string[]): Promise<(number | string)[]> {
  const client = new HttpClient();
  const results: (number | string)[] = [];
  try {
    for (const line of lines) {
      const [method, target] = line.split(' ') as ['GET' | 'POST', string];
      const call: HttpCall = { method, target, host: '127.0.0.1', port: server.port, timeoutMs: 5000 };
      let status = 0;
      const code = await codeOf(client.request(call).then((response) => (status = response.status)));
      results.push(status === 0 ? code : status);
    }
  } finally {
    client.close();
    server.close();
  }
  return results;
}

test('requests follow one another on one connection', async () => {
  const server = await new ScriptedHttpServer([KEPT, KEPT, KEPT]).open();
  assert.equal(await run(server, ['GET /a', 'POST /b', 'GET /c']), [200, 200, 200]);
  assert.equal(server.requests, ['1 GET /a', '1 POST /b', '1 GET /c']);
});

test('a GET that a kept connection loses without an answer is sent again on another', async () => {
  const server = await new ScriptedHttpServer([KEPT, LOST, KEPT]).open();
  assert.equal(await run(server, ['POST /a', 'GET /b']), [200, 200]);
  assert.equal(server.requests, ['1 POST /a', '1 GET /b', '2 GET /b']);
});

test('a POST that a kept connection loses may have been executed: it is not sent again', async () => {
  const server = await new ScriptedHttpServer([KEPT, LOST, KEPT]).open();
  assert.equal(await run(server, ['GET /a', 'POST /b', 'GET /c']), [200, 'CONNECTION_LOST', 200]);
  assert.equal(server.requests, ['1 GET /a', '1 POST /b', '2 GET /c']);
});

test('a GET that a new connection loses, or whose answer has begun, is not sent again', async () => {
  const server = await new ScriptedHttpServer([LOST, KEPT, CUT, KEPT]).open();
  const lines = ['GET /a', 'GET /b', 'GET /c', 'GET /d'];
  assert.equal(await run(server, lines), ['CONNECTION_LOST', 200, 'CONNECTION_LOST', 200]);
  assert.equal(server.requests, ['1 GET /a', '2 GET /b', '2 GET /c', '3 GET /d']);
});

for (const [what, answer] of [
  ['"connection: close"', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok'],
  ['"Connection: Close"', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\nok'],
  ['no word of where the answer ends', 'HTTP/1.1 204 No Content\r\n\r\n'],
] as const) {
  test(`after an answer with ${what} the connection is not used again, even if it stays open`, async () => {
    const server = await new ScriptedHttpServer([answer, KEPT, KEPT]).open();
    const first = answer.includes('204') ? 204 : 200;
    assert.equal(await run(server, ['GET /a', 'POST /b', 'GET /c']), [first, 200, 200]);
    assert.equal(server.requests, ['1 GET /a', '2 POST /b', '2 GET /c']);
  });
}

test.run();

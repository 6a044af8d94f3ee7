// Listening and connecting on net.Socket: the network port where io_uring is not to be had.
import { createServer, Socket, type AddressInfo, type Server, type SocketConstructorOpts } from 'node:net';
import type { Turn } from '../clock.ts';
import type { IoMemory } from '../memory.ts';
import { formatAddress, type Address, type Listener, type Network, type Stream, type StreamPair } from '../network.ts';
import { MemoryBlocks } from '../memory-blocks.ts';
import { OUTPUT_BLOCK_BYTES } from '../output-queue.ts';
import { LibuvStream, RECEIVE_BUFFER_BYTES, type StreamSurroundings } from './libuv-stream.ts';
import { connectSocket } from './connect-socket.ts';
import type { NativeAddon } from './native-addon.ts';
import { pairStreams } from './socket-pair.ts';
import { toPfError } from './system-error.ts';
import { checkUnixPath, clearUnixPath } from './unix-path.ts';

export class LibuvNetwork implements Network {
  /** Only with the native addon. */
  readonly pair?: () => StreamPair;
  readonly #shared: StreamSurroundings;
  readonly #streams = new Set<LibuvStream>();
  readonly #listeners = new Set<LibuvListener>();
  #whenEmpty: (() => void) | null = null;

  constructor(memory: IoMemory, turn: Turn, addon: NativeAddon | null) {
    if (addon !== null) this.pair = () => pairStreams(addon, (fd, onGone) => this.#adopt(openSocket(fd), 'kernel', onGone));
    this.#shared = {
      memory,
      turn,
      outputBlocks: new MemoryBlocks(memory, OUTPUT_BLOCK_BYTES),
      receiveView: new Uint8Array(memory.buffer, memory.reserve(RECEIVE_BUFFER_BYTES), RECEIVE_BUFFER_BYTES),
    };
  }

  async listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener> {
    if (address.kind === 'unix') await clearUnixPath(address.path);
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
      onStream(this.#adopt(socket)),
    );
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        if (address.kind === 'unix') server.listen(address.path, resolve);
        else server.listen(address.port, address.host, resolve);
      });
    } catch (error) {
      throw toPfError(error, `cannot listen at ${formatAddress(address)}`);
    }
    const port = address.kind === 'tcp' ? (server.address() as AddressInfo).port : 0;
    const listener = new LibuvListener(server, address.kind === 'tcp' ? { ...address, port } : address, () =>
      this.#listeners.delete(listener),
    );
    this.#listeners.add(listener);
    return listener;
  }

  async connect(address: Address, timeoutMs: number): Promise<Stream> {
    if (address.kind === 'unix') checkUnixPath(address.path);
    const socket = await connectSocket(address, timeoutMs);
    return this.#adopt(socket, formatAddress(address));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
    if (this.#streams.size === 0) return;
    const empty = new Promise<void>((resolve) => (this.#whenEmpty = resolve));
    for (const stream of this.#streams) stream.destroy();
    await empty;
  }

  #adopt(socket: Socket, name?: string, onGone?: () => void): LibuvStream {
    const peer = name ?? (socket.remoteAddress === undefined ? 'unix peer' : `${socket.remoteAddress}:${socket.remotePort}`);
    const stream = new LibuvStream(socket, peer, this.#shared, (gone) => {
      this.#streams.delete(gone);
      onGone?.();
      if (this.#streams.size === 0) this.#whenEmpty?.();
    });
    this.#streams.add(stream);
    return stream;
  }
}

/** Not reading yet. */
function openSocket(fd: number): Socket {
  const options = { fd, readable: true, writable: true, allowHalfOpen: true, pauseOnCreate: true };
  return new Socket(options as SocketConstructorOpts);
}

class LibuvListener implements Listener {
  readonly address: Address;
  readonly #server: Server;
  readonly #onClose: () => void;
  #isClosed = false;

  constructor(server: Server, address: Address, onClose: () => void) {
    this.#server = server;
    this.address = address;
    this.#onClose = onClose;
    // An accept that fails (out of descriptors) is retried by libuv with the next connection; the listener stays.
    server.on('error', () => {});
  }

  /** The server's own callback waits for all of its connections; accepting stops, and a unix path goes, at once. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#server.close();
    this.#onClose();
  }
}

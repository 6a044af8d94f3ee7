// Makes a net.Socket read straight into arena memory: Node's "onread", whose buffer is asked for anew after each read.
// Sockets of a server cannot be given that option, so both kinds are wrapped again around their handle; that the constructor takes
// a handle is not documented, and the network contract is what proves it for the Node that runs us.
import { Socket, type SocketConstructorOpts } from 'node:net';

export interface ArenaReader {
  /** Where the next bytes go. */
  nextBuffer(): Uint8Array;
  /** `length` bytes have arrived in the buffer handed out last. */
  arrived(length: number): void;
}

interface HandleOwner {
  _handle: object | null;
}

/** `socket` must be connected and not reading; it is dead afterwards. The returned socket is paused. */
export function readIntoArena(socket: Socket, reader: ArenaReader): Socket {
  const owner = socket as unknown as HandleOwner;
  const handle = owner._handle;
  if (handle === null) return socket;
  owner._handle = null;
  const options = {
    handle,
    allowHalfOpen: true,
    pauseOnCreate: true,
    onread: {
      buffer: () => reader.nextBuffer(),
      callback: (length: number) => {
        reader.arrived(length);
        return true;
      },
    },
  };
  return new Socket(options as unknown as SocketConstructorOpts);
}

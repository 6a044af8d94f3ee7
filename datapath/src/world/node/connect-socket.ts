// One connect of a net.Socket within a time, for libuv's network and for probing unix paths. The socket comes back paused.
import { connect, type Socket } from 'node:net';
import { PfError } from '../../base/errors.ts';
import { formatAddress, type Address } from '../network.ts';
import { toPfError } from './system-error.ts';

export function connectSocket(address: Address, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const action = `cannot connect to ${formatAddress(address)}`;
    const target = address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port, noDelay: true };
    const socket = connect({ ...target, allowHalfOpen: true });
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(toPfError(error, action, 'CONNECTION_LOST'));
    };
    const timer = setTimeout(() => fail(new PfError('TIMEOUT', `${action}: no answer within ${timeoutMs} ms`)), timeoutMs);
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeListener('error', fail);
      socket.pause();
      resolve(socket);
    });
  });
}

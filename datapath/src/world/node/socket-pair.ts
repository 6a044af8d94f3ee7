// A pair of unix streams of which one end stays with the world and the other goes to the kernel. Called by both networks. The
// stream's own descriptor number is used only while the stream is open: afterwards it may name something else.
import type { Stream, StreamPair } from '../network.ts';
import { nativeError, type NativeAddon } from './native-addon.ts';
import { toPfError } from './system-error.ts';

const SHUT_READ = 0;

/** `adopt` makes a stream of a connected descriptor and calls `onGone` once it is closed. */
export function pairStreams(addon: NativeAddon, adopt: (fd: number, onGone: () => void) => Stream): StreamPair {
  const pair = addon.pairSockets();
  if (typeof pair === 'number') throw toPfError(nativeError(pair, 'socketpair'), 'cannot make a pair of streams');
  const [own, descriptor] = pair;
  let isOpen = true;
  let isDescriptorOpen = true;
  const closeDescriptor = (): void => {
    if (isDescriptorOpen) addon.closeDescriptor(descriptor);
    isDescriptorOpen = false;
  };
  const stream = adopt(own, () => {
    isOpen = false;
    closeDescriptor();
  });
  const refuseInput = (): void => {
    if (isOpen) addon.shutdownSocket(own, SHUT_READ);
  };
  return { stream, descriptor, closeDescriptor, refuseInput };
}

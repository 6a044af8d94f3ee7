// One socket of a kernel device: a session of our NBD server at one end, the kernel at the other.
import { PfError } from '../../base/errors.ts';
import type { NbdServer, NbdSession } from '../../nbd/index.ts';
import type { Network } from '../../world/network.ts';

export interface KernelLink {
  readonly session: NbdSession;
  /** The end for the kernel, until closeDescriptor(). */
  readonly descriptor: number;
  closeDescriptor(): void;
  refuseInput(): void;
}

export function openLink(network: Network, server: NbdServer, exportName: string): KernelLink {
  const pair = network.pair?.();
  if (pair === undefined) throw new PfError('UNSUPPORTED', 'no sockets for the kernel can be made without the native addon');
  const session = server.acceptTransmission(pair.stream, exportName);
  return {
    session,
    descriptor: pair.descriptor,
    closeDescriptor: () => pair.closeDescriptor(),
    refuseInput: () => {
      if (!session.isOver) pair.refuseInput();
    },
  };
}

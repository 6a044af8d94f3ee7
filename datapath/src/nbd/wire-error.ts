// Which of the protocol's error numbers tells a device's errno. The protocol knows only a few; the rest is EIO.
import { EINVAL, ENOMEM, ENOSPC, EPERM, EROFS } from '../world/completion.ts';
import { NBD_EINVAL, NBD_EIO, NBD_ENOMEM, NBD_ENOSPC, NBD_EPERM, NBD_ESHUTDOWN } from './protocol.ts';

const EFBIG = 27;
const ESHUTDOWN = 108;
const EDQUOT = 122;

/** `errno` is not 0. EOVERFLOW and ENOTSUP have meanings of their own on the wire, so a device's become EIO. */
export function wireErrorOf(errno: number): number {
  switch (errno) {
    case EPERM:
    case EROFS:
      return NBD_EPERM;
    case ENOMEM:
      return NBD_ENOMEM;
    case EINVAL:
      return NBD_EINVAL;
    case ENOSPC:
    case EFBIG:
    case EDQUOT:
      return NBD_ENOSPC;
    case ESHUTDOWN:
      return NBD_ESHUTDOWN;
    default:
      return NBD_EIO;
  }
}

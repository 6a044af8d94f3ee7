// The 28 bytes of a request, read into one reusable object per connection.
import { REQUEST_MAGIC } from './protocol.ts';

export class RequestHead {
  flags = 0;
  command = 0;
  /** Signed halves: only echoed. */
  cookieHigh = 0;
  cookieLow = 0;
  offset = 0;
  length = 0;

  /** False when these bytes are not a request. An offset beyond 2^53 loses its last bits, but stays beyond every device. */
  read(view: DataView, at: number): boolean {
    if (view.getUint32(at) !== REQUEST_MAGIC) return false;
    this.flags = view.getUint16(at + 4);
    this.command = view.getUint16(at + 6);
    this.cookieHigh = view.getInt32(at + 8);
    this.cookieLow = view.getInt32(at + 12);
    this.offset = view.getUint32(at + 16) * 4294967296 + view.getUint32(at + 20);
    this.length = view.getUint32(at + 24);
    return true;
  }
}

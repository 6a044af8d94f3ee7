// "HOST:PORT" as people write it, for flags and configuration.
import { PfError } from '../base/errors.ts';

export function parseTcpAddress(text: string): { readonly kind: 'tcp'; readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  const port = match === null ? NaN : Number(match[3]);
  if (match === null || !(port <= 65535)) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot read address "${text}": write HOST:PORT, such as 127.0.0.1:10809 or [::1]:10809`,
    );
  }
  return { kind: 'tcp', host: (match[1] ?? match[2])!, port };
}

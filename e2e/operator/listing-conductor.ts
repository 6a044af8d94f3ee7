// As much of a conductor as it takes to be asked which volumes there are, for suites in which no daemon runs. Whatever else is asked of it fails.
import { createServer, type Server } from 'node:http';
import type { VolumeInfo } from '@pureflash/datapath/api';

/** `address`: "HOST:PORT". Ends with `close`. */
export async function listVolumesAt(address: string, names: readonly string[]): Promise<Server> {
  const [host, port] = address.split(':') as [string, string];
  const volumes = names.map((name, index) => volumeOf(name, index + 1));
  const server = createServer((request, response) => {
    const isListing = request.url?.includes('op=list_volume') === true;
    response.writeHead(isListing ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isListing ? { op: 'list_volume_reply', ret_code: 0, volumes } : {}));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(port), host, resolve);
  });
  return server;
}

function volumeOf(name: string, id: number): VolumeInfo {
  return {
    id,
    name,
    size: 1024 ** 3,
    rep_count: 3,
    status: 'OK',
    shard_size: 64 * 1024 ** 3,
    attach_epoch: 1,
    attached_to: null,
    attachments: [],
    meta_ver: 1,
  };
}

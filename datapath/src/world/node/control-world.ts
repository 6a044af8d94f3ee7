// The small world of a command-line call: HTTP requests, a clock, randomness, and nothing of the data path. It opens in a
// few milliseconds.
import { PfError } from '../../base/errors.ts';
import type { Http } from '../http.ts';
import type { World } from '../world.ts';
import { HttpClient } from './http-client.ts';
import { NodeClock } from './node-clock.ts';
import { NodeRandom } from './node-random.ts';

export type ControlWorld = Pick<World, 'http' | 'clock' | 'random'> & { close(): Promise<void> };

export function openControlWorld(): ControlWorld {
  const clock = new NodeClock();
  const client = new HttpClient();
  const http: Http = {
    serve: () => Promise.reject(new PfError('UNSUPPORTED', 'cannot serve HTTP from a control world; open the whole world')),
    request: (call) => client.request(call),
  };
  return {
    http,
    clock,
    random: new NodeRandom(),
    close: async () => {
      client.close();
      clock.stopAll();
    },
  };
}

// What the driver says of itself.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import { identityHandlers, type IdentityOptions } from './identity.ts';
import { decodeMessage, encodeMessage } from './messages/codec.ts';
import { GetPluginCapabilitiesResponse } from './messages/identity-service.ts';
import type { Call } from './rpc/grpc-server.ts';

const call: Call = { signal: new AbortController().signal, deadlineMs: 0 };
const ready: IdentityOptions = { version: '1.2.3', isReady: async () => true };

async function services(options: IdentityOptions): Promise<(string | null)[]> {
  const draft = await identityHandlers(options).getPluginCapabilities!({}, call);
  const { capabilities } = decodeMessage(GetPluginCapabilitiesResponse, encodeMessage(GetPluginCapabilitiesResponse, draft));
  return capabilities.map(({ service, volumeExpansion }) => service?.type ?? `expansion ${volumeExpansion?.type}`);
}

test('the driver has a name, a version and a controller, and expands volumes in use', async () => {
  assert.equal(await identityHandlers(ready).getPluginInfo!({}, call), { name: 'csi.pureflash.io', vendorVersion: '1.2.3' });
  assert.equal(await services(ready), ['CONTROLLER_SERVICE', 'VOLUME_ACCESSIBILITY_CONSTRAINTS', 'expansion ONLINE']);
});

test('the probe asks with the call of its caller, and a failure is its answer', async () => {
  assert.equal(await identityHandlers(ready).probe!({}, call), { ready: { value: true } });
  const asked: Call[] = [];
  const waiting = identityHandlers({
    ...ready,
    isReady: async (given) => {
      asked.push(given);
      return false;
    },
  });
  assert.equal(await waiting.probe!({}, call), { ready: { value: false } });
  assert.is(asked[0], call);
  const failing = identityHandlers({ ...ready, isReady: () => Promise.reject(new PfError('UNAVAILABLE', 'no conductor')) });
  await failing.probe!({}, call).then(
    () => assert.unreachable(),
    (error: PfError) => assert.is(error.code, 'UNAVAILABLE'),
  );
});

test.run();

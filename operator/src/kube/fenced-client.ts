// A KubeClient whose writes go out only while this process leads: each asks first, and is refused with FENCED when it does not. Reads pass.
// Used by the reconcilers of a replicated operator. A request that left before the end of leadership may still arrive after it; what must
// not be repeated by then carries a uid or a resourceVersion as its precondition.
import { PfError } from '@pureflash/datapath/base';
import type { KubeClient } from './client.ts';

export interface Leadership {
  readonly isLeader: boolean;
}

export function fencedClient(client: KubeClient, leadership: Leadership): KubeClient {
  const guarded = async <T>(write: () => Promise<T>): Promise<T> => {
    if (leadership.isLeader) return await write();
    throw new PfError('FENCED', 'cannot write to the API server: this process does not lead (any more)');
  };
  return {
    get: (ref, options) => client.get(ref, options),
    list: (apiVersion, kind, options) => client.list(apiVersion, kind, options),
    watch: (apiVersion, kind, options, onEvent) => client.watch(apiVersion, kind, options, onEvent),
    hasKind: (apiVersion, kind) => client.hasKind(apiVersion, kind),
    apply: (object, options) => guarded(() => client.apply(object, options)),
    applyStatus: (object, options) => guarded(() => client.applyStatus(object, options)),
    create: (object, options) => guarded(() => client.create(object, options)),
    update: (object, options) => guarded(() => client.update(object, options)),
    patch: (ref, patch, options) => guarded(() => client.patch(ref, patch, options)),
    createSubresource: (ref, name, body, options) => guarded(() => client.createSubresource(ref, name, body, options)),
    delete: (ref, options) => guarded(() => client.delete(ref, options)),
    close: () => client.close(),
  };
}

// The Lease of an election, in the API server. Every write names the version that it replaces.
import type { KubeObject, ObjectRef } from '../api/objects.ts';
import type { LeaseRecord, LeaseStore, LeaseWrite } from '../runtime/leader-election.ts';
import type { KubeClient } from './client.ts';

const LEASE = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };

export class KubeLeaseStore implements LeaseStore {
  readonly #client: KubeClient;
  readonly #ref: ObjectRef;

  constructor(client: KubeClient, namespace: string, name: string) {
    this.#client = client;
    this.#ref = { ...LEASE, namespace, name };
  }

  async read(timeoutMs: number): Promise<LeaseRecord | null> {
    const lease = await this.#client.get(this.#ref, { timeoutMs });
    return lease === null ? null : toRecord(lease);
  }

  async write(record: LeaseWrite, version: string | null, timeoutMs: number): Promise<LeaseRecord> {
    const { namespace, name } = this.#ref;
    const lease: KubeObject = {
      ...LEASE,
      metadata: { name, namespace: namespace!, ...(version === null ? {} : { resourceVersion: version }) },
      spec: {
        holderIdentity: record.holder,
        leaseDurationSeconds: record.durationSeconds,
        acquireTime: record.acquireTime,
        renewTime: record.renewTime,
        leaseTransitions: record.transitions,
      },
    };
    const { client, options } = { client: this.#client, options: { timeoutMs } };
    return toRecord(await (version === null ? client.create(lease, options) : client.update(lease, options)));
  }
}

function toRecord(lease: KubeObject): LeaseRecord {
  const spec = (lease['spec'] ?? {}) as Readonly<Record<string, unknown>>;
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
  return {
    holder: text(spec['holderIdentity']),
    durationSeconds: count(spec['leaseDurationSeconds']),
    acquireTime: text(spec['acquireTime']),
    renewTime: text(spec['renewTime']),
    transitions: count(spec['leaseTransitions']),
    version: lease.metadata.resourceVersion ?? '',
  };
}

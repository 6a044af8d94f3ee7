// What one user did at the API server, from the server's own audit log: which verbs on which resources, and what was refused. The flags go
// to the control plane before it starts.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource: string; readonly subresource?: string; readonly apiGroup?: string };
  readonly responseStatus?: { readonly code: number };
}

export class ApiAudit {
  readonly flags: readonly string[];
  readonly #log: string;

  /** `folder` holds the policy and the log. */
  constructor(folder: string) {
    this.#log = join(folder, 'audit.log');
    const policy = join(folder, 'audit-policy.json');
    const rules = [{ level: 'Metadata', userGroups: ['system:serviceaccounts'] }, { level: 'None' }];
    const kind = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy' };
    writeFileSync(policy, JSON.stringify({ ...kind, rules, omitStages: ['RequestReceived'] }));
    this.flags = [`--audit-policy-file=${policy}`, `--audit-log-path=${this.#log}`];
  }

  /** "patch apps/statefulsets", "update /pods/status": what the user was allowed. An apply that made an object counts as create too. */
  allowed(user: string): ReadonlySet<string> {
    const done = new Set<string>();
    for (const event of this.#events(user)) {
      const code = event.responseStatus?.code ?? 0;
      if (code === 403) continue;
      done.add(nameOf(event.verb, event));
      if (event.verb === 'patch' && code === 201) done.add(nameOf('create', event));
    }
    return done;
  }

  refused(user: string): ReadonlySet<string> {
    const refused = this.#events(user).filter((event) => event.responseStatus?.code === 403);
    return new Set(refused.map((event) => nameOf(event.verb, event)));
  }

  /** What follows is looked at alone. */
  forget(): void {
    if (existsSync(this.#log)) this.#start = readFileSync(this.#log, 'utf8').length;
  }

  #start = 0;

  #events(user: string): readonly AuditEvent[] {
    if (!existsSync(this.#log)) return [];
    const text = readFileSync(this.#log, 'utf8').slice(this.#start);
    const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
    const events = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as AuditEvent);
    return events.filter((event) => event.user.username === user && event.objectRef !== undefined);
  }
}

function nameOf(verb: string, { objectRef }: AuditEvent): string {
  const { apiGroup = '', resource, subresource } = objectRef!;
  return rightOf(verb, apiGroup, subresource === undefined ? resource : `${resource}/${subresource}`);
}

export function rightOf(verb: string, apiGroup: string, resource: string): string {
  return `${verb} ${apiGroup}/${resource}`;
}

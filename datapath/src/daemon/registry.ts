// The kinds of daemons that a program manages. A new daemon is one file, which exports its kind, and one line in the list that the
// program gives to the registry.
import { PfError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { ServiceDefinition } from './service.ts';

/** What one service of the kind belongs to: one on each node, one for each volume, or one in the cluster. */
export type Scope = 'node' | 'volume' | 'cluster';

export interface DaemonKind {
  readonly kind: string;
  readonly scope: Scope;
  /** `name` is the name of the service to be. Errors: INVALID_ARGUMENT for a configuration that cannot be. */
  define(name: string, config: JsonObject): ServiceDefinition;
}

export class Registry {
  readonly #kinds = new Map<string, DaemonKind>();

  /** Errors: ALREADY_EXISTS. */
  constructor(kinds: readonly DaemonKind[]) {
    for (const each of kinds) {
      if (this.#kinds.has(each.kind)) throw new PfError('ALREADY_EXISTS', `cannot register the daemon "${each.kind}" twice`);
      this.#kinds.set(each.kind, each);
    }
  }

  kinds(scope?: Scope): readonly DaemonKind[] {
    return [...this.#kinds.values()].filter((each) => scope === undefined || each.scope === scope);
  }

  /**
   * `subject`: the volume, for kinds of that scope; else null. `place`: which one, where a manager keeps several of a kind, such as those
   * of several nodes. Errors: NOT_FOUND, INVALID_ARGUMENT.
   */
  define(kind: string, subject: string | null, config: JsonObject, place: string | null = null): ServiceDefinition {
    const found = this.#kinds.get(kind);
    if (found === undefined)
      throw new PfError(
        'NOT_FOUND',
        `cannot define a daemon "${kind}": the kinds are ${[...this.#kinds.keys()].join(', ') || 'none'}`,
      );
    if ((found.scope === 'volume') !== (subject !== null))
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot define the daemon "${kind}" for ${subject ?? 'no volume'}: its scope is ${found.scope}`,
      );
    return found.define([kind, place, subject].filter((part) => part !== null).join('/'), config);
  }
}

// Which mappers this machine can use now: which of them makes new devices, and who takes up what an earlier process has made. Used by
// AttachService at its start.
import { PfError } from '../base/errors.ts';
import type { Mapper } from './mapper.ts';

export class UsableMappers {
  readonly all: readonly Mapper[];
  /** By kind, why not. */
  readonly #lacks: ReadonlyMap<string, string>;

  private constructor(all: readonly Mapper[], lacks: ReadonlyMap<string, string>) {
    this.all = all;
    this.#lacks = lacks;
  }

  static async among(mappers: readonly Mapper[]): Promise<UsableMappers> {
    const lacks = new Map<string, string>();
    const all: Mapper[] = [];
    for (const mapper of mappers) {
      const lack = await mapper.unavailable();
      if (lack === null) all.push(mapper);
      else lacks.set(mapper.kind, lack);
    }
    return new UsableMappers(all, lacks);
  }

  /** "auto": the first one. Error UNSUPPORTED. */
  wanted(kind: string): Mapper {
    const found = this.all.find((mapper) => kind === 'auto' || mapper.kind === kind);
    if (found !== undefined) return found;
    const reasons = [...this.#lacks].filter(([each]) => kind === 'auto' || each === kind).map((each) => each.join(': '));
    throw new PfError(
      'UNSUPPORTED',
      `this machine can make no block device (${reasons.join('; ') || `${kind}: this program does not have it`})`,
    );
  }

  /**
   * Who has made the device of that volume. Error UNSUPPORTED: no other mapper finds it, and whoever uses it must not lose it, so nothing is
   * served until that one can be used again.
   */
  forDevice(kind: string, volumeName: string): Mapper {
    const found = this.all.find((mapper) => mapper.kind === kind);
    if (found !== undefined) return found;
    throw new PfError(
      'UNSUPPORTED',
      `cannot go on: the device of volume "${volumeName}" was made by "${kind}", which cannot be used now (${this.#lacks.get(kind) ?? 'this program does not have it'}); its requests wait in the kernel until that is put right`,
    );
  }
}

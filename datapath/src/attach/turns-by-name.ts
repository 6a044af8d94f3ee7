// One call after the other for each name; different names do not wait for each other. For mappers.

export class TurnsByName {
  readonly #last = new Map<string, Promise<unknown>>();

  take<T>(name: string, task: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(name) ?? Promise.resolve()).then(task);
    const settled = result.catch(() => {}); // The caller is told.
    this.#last.set(name, settled);
    void settled.then(() => this.#last.get(name) === settled && this.#last.delete(name));
    return result;
  }
}

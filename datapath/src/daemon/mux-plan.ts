// What has to be told to a multiplexing daemon: the difference between what is wished and what it has. Pure; called by mux-service.ts.

/** Name to the hash of its configuration. */
export type HashesByName = ReadonlyMap<string, string>;

export type MuxStep = { readonly kind: 'attach' | 'change' | 'detach'; readonly name: string };

/** Detaches first, so that what they held (ports, files) is free; then in the order of the wishes. */
export function planMux(wished: HashesByName, attached: HashesByName): MuxStep[] {
  const steps: MuxStep[] = [];
  for (const name of attached.keys()) if (!wished.has(name)) steps.push({ kind: 'detach', name });
  for (const [name, hash] of wished) {
    const present = attached.get(name);
    if (present === undefined) steps.push({ kind: 'attach', name });
    else if (present !== hash) steps.push({ kind: 'change', name });
  }
  return steps;
}

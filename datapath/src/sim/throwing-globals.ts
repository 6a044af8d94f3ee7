// Inside a simulated run nothing may reach around the world: real time, real chance and the real network throw, naming the
// culprit. Install before a run, uninstall after it; drain.ts has taken what it needs when it was loaded.
import { AssertionFailure } from '../base/assert.ts';

const FORBIDDEN: readonly {
  readonly owner: 'globalThis' | 'Date' | 'Math' | 'performance' | 'crypto' | 'AbortSignal';
  readonly name: string;
  readonly instead: string;
}[] = [
  { owner: 'globalThis', name: 'setTimeout', instead: 'world.clock.after' },
  { owner: 'globalThis', name: 'setInterval', instead: 'world.clock.every' },
  { owner: 'globalThis', name: 'setImmediate', instead: 'world.turn.atEnd' },
  { owner: 'globalThis', name: 'fetch', instead: 'world.http.request' },
  { owner: 'Date', name: 'now', instead: 'world.clock.now or wallTimeMs' },
  { owner: 'Math', name: 'random', instead: 'world.random' },
  { owner: 'performance', name: 'now', instead: 'world.clock.now' },
  { owner: 'crypto', name: 'randomUUID', instead: 'world.random.uuid' },
  { owner: 'crypto', name: 'getRandomValues', instead: 'world.random' },
  { owner: 'AbortSignal', name: 'timeout', instead: 'an AbortController and world.clock.after' },
];

/** Replaces the forbidden globals by ones that throw; the result puts them back, and may be called more than once. */
export function installThrowingGlobals(): () => void {
  const restores = FORBIDDEN.map(({ owner, name, instead }) =>
    replace(holderOf(owner), name, () => refuse(owner, name, instead)),
  );
  restores.push(replaceDate());
  return () => {
    for (const restore of restores.splice(0).reverse()) restore();
  };
}

function holderOf(owner: string): object {
  return owner === 'globalThis' ? globalThis : (globalThis as unknown as Record<string, object>)[owner]!;
}

function replace(holder: object, name: string, value: unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(holder, name);
  Object.defineProperty(holder, name, { value, configurable: true, writable: true });
  return () => {
    if (own === undefined) delete (holder as Record<string, unknown>)[name];
    else Object.defineProperty(holder, name, own);
  };
}

/** `new Date()` reads the clock; `new Date(value)` does not. */
function replaceDate(): () => void {
  const RealDate = globalThis.Date;
  const checked = new Proxy(RealDate, {
    construct(target, args: unknown[]) {
      if (args.length === 0) refuse('globalThis', 'Date', 'world.clock.wallTimeMs');
      return Reflect.construct(target, args) as object;
    },
    apply: () => refuse('globalThis', 'Date', 'world.clock.wallTimeMs'),
  });
  return replace(globalThis, 'Date', checked);
}

function refuse(owner: string, name: string, instead: string): never {
  const called = owner === 'globalThis' ? name : `${owner}.${name}`;
  const culprit =
    new Error().stack
      ?.split('\n')
      .slice(1)
      .find((line) => !line.includes('throwing-globals.ts'))
      ?.trim() ?? 'unknown caller';
  throw new AssertionFailure(`${called} was called during a simulated run, ${culprit}; use ${instead}`);
}

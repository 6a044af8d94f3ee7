// Moments as the API server writes them, and the clock's in that form.
import type { World } from '@pureflash/datapath/world';

export function timesOf(world: Pick<World, 'clock'>) {
  const nowMs = world.clock.wallTimeMs();
  return { nowMs, now: `${new Date(nowMs).toISOString().slice(0, 19)}Z`, parse: (text: string): number => Date.parse(text) };
}

// Moments as the API server writes them, and the clock's in that form.
import type { World } from '@pureflash/datapath/world';
import { formatSeconds } from '../runtime/iso-time.ts';

export function timesOf(world: Pick<World, 'clock'>) {
  const nowMs = world.clock.wallTimeMs();
  return { nowMs, now: formatSeconds(nowMs), parse: (text: string): number => Date.parse(text) };
}

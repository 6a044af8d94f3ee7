// What the conductor's handlers and pages work with: the state, who is alive, and the way to change things.
import type { World } from '../world/world.ts';
import { PfError } from '../base/errors.ts';
import type { Engine } from '../consensus/engine.ts';
import type { ChangeSignal } from './change-signal.ts';
import type { Monitor } from './monitor.ts';
import type { Pusher } from './pusher.ts';
import type { RecoveryRests } from './recovery-rests.ts';
import type { Reconfigurer } from './reconfigurer.ts';
import type { Outcome } from './state/outcome.ts';
import type { ClusterState, VolumeRecord } from './state/cluster-state.ts';
import type { Command } from './state/commands.ts';
import { volumeByName } from './state/queries.ts';

export interface ConductorContext {
  readonly world: World;
  readonly engine: Engine<Command, Outcome>;
  readonly state: ClusterState;
  readonly monitor: Monitor;
  readonly pusher: Pusher;
  readonly rests: RecoveryRests;
  readonly reconfigurer: Reconfigurer;
  readonly changed: ChangeSignal;
  readonly allowSameHost: boolean;
  readonly version: string;
}

/** Error NOT_FOUND. */
export function volumeOf(context: ConductorContext, name: string): VolumeRecord {
  const volume = volumeByName(context.state, name);
  if (volume === null) throw new PfError('NOT_FOUND', `volume "${name}" does not exist`);
  return volume;
}

/** The command's value; a refusal becomes its error. */
export async function proposeOrThrow(context: ConductorContext, command: Command): Promise<number> {
  const outcome = await context.engine.propose(command);
  if (!outcome.isAccepted) throw new PfError(outcome.code, outcome.reason);
  return outcome.value;
}

// What a volume client keeps of a VolumeConfig: for each shard the primary and the meta version. Pure.
import { PfError } from '../base/errors.ts';
import type { ShardConfig, VolumeConfig } from '../api/model.ts';
import { parseHostPort } from '../api/host-port.ts';
import type { Address } from '../world/network.ts';
import { DATA_TCP_PORT } from '../wire/messages.ts';

export interface ShardTarget {
  readonly metaVersion: number;
  readonly storeId: number;
  /** "host:port" as the layout has it: the key of the path, together with the store's id. */
  readonly address: string;
}

/** One entry per shard, in order. Error PROTOCOL_ERROR when the layout does not cover the volume. */
export function targetsOf(config: VolumeConfig): readonly ShardTarget[] {
  const count = Math.ceil(config.volume_size / config.shard_size);
  const byIndex = new Map(config.shards.map((shard) => [shard.index, shard]));
  return Array.from({ length: count }, (_, index) => {
    const shard = byIndex.get(index);
    if (shard === undefined) {
      throw new PfError(
        'PROTOCOL_ERROR',
        `the layout of volume "${config.volume_name}" has no shard ${index} of ${count}; the conductor is at fault`,
      );
    }
    return targetOf(shard, config);
  });
}

function targetOf(shard: ShardConfig, config: VolumeConfig): ShardTarget {
  const primary = shard.replicas.find((replica) => replica.index === shard.primary_rep_index);
  if (primary === undefined) {
    throw new PfError(
      'PROTOCOL_ERROR',
      `the layout of volume "${config.volume_name}" names no primary for shard ${shard.index}; the conductor is at fault`,
    );
  }
  return { metaVersion: shard.meta_ver, storeId: primary.store_id, address: primary.address };
}

export function addressOf(text: string): Address {
  return { kind: 'tcp', ...parseHostPort(text, DATA_TCP_PORT) };
}

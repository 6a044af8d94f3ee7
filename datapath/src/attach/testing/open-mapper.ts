// The mappers under test, by kind: for the contract suite and for the process that serves in it.
import type { World } from '../../world/world.ts';
import { FuseMapper } from '../fuse/fuse-mapper.ts';
import type { Mapper } from '../mapper.ts';
import { NbdMapper } from '../nbd/nbd-mapper.ts';
import { UblkMapper } from '../ublk/ublk-mapper.ts';

export type MapperKind = 'fuse' | 'nbd' | 'ublk';

export async function openMapper(kind: MapperKind, world: World, folder: string): Promise<Mapper> {
  switch (kind) {
    case 'fuse':
      return new FuseMapper(world, { folder });
    case 'nbd':
      return NbdMapper.open(world, { folder });
    case 'ublk':
      return UblkMapper.open(world, { folder });
  }
}

// The FUSE mapper on this machine's kernel.
// deadline: 180s
// needs: root native fio mkfs.ext4 mount blkdiscard /dev/fuse /dev/loop-control
// ports: both
import { testMapper } from '../testing/mapper-contract.ts';

testMapper('fuse');

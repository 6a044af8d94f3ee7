// The NBD mapper on this machine's kernel. e2e/vm runs it where the kernel has no NBD client.
// deadline: 240s
// needs: root native fio mkfs.ext4 mount blkdiscard /sys/module/nbd
// ports: both
// optional
import { testMapper } from '../testing/mapper-contract.ts';

testMapper('nbd');

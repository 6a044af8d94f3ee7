// The ublk mapper on this machine's kernel. e2e/vm runs it where the kernel has no ublk, or an old one.
// deadline: 240s
// needs: root native io_uring fio mkfs.ext4 mount blkdiscard /dev/ublk-control
// optional
import { testMapper } from '../testing/mapper-contract.ts';

testMapper('ublk');

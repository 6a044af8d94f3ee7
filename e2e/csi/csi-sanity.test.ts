// The driver on a real cluster of three stores, held to what it advertises by csi-sanity: filesystems and raw block. It mounts real devices.
// needs: root native csi-sanity mkfs.ext4
// deadline: 600s
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ownSubnet } from '../local/local-cluster.ts';
import { sayWhy } from '../local/say-why.ts';
import { failuresOf, runCsiSanity, type SanityReport } from '../sanity/run-csi-sanity.ts';
import { removeWithDevices, mountsBelow, loopsBelow, holdersBelow } from './clean-up.ts';
import { CsiCluster } from './csi-cluster.ts';

const MiB = 1024 ** 2;
/** Mounted filesystems of ext4 are grown with a right that not every root has; what csi-sanity expands is not mounted. */
const SIZES = { volumeBytes: 512 * MiB, expandedBytes: 1024 * MiB };

const folder = mkdtempSync('/tmp/pf-sanity-');
const cluster = new CsiCluster({ folder, subnet: ownSubnet() });

test.before(sayWhy(() => cluster.start()));
test.after(async () => {
  await cluster.stop();
  removeWithDevices(folder);
});

async function sanity(accessType: 'mount' | 'block'): Promise<SanityReport> {
  const { kubeletFolder, socketPath } = cluster.node;
  return runCsiSanity({
    endpoint: socketPath,
    folder: join(folder, `sanity-${accessType}`),
    mountDir: join(kubeletFolder, `${accessType}-target`),
    stagingDir: join(kubeletFolder, `${accessType}-stage`),
    accessType,
    invalidListVolumesToken: 'no-token-of-ours',
    ...SIZES,
  });
}

for (const accessType of ['mount', 'block'] as const) {
  test(`every case of what is advertised passes, access type ${accessType}; nothing is left`, async () => {
    const report = await sanity(accessType);
    process.stdout.write(
      `csi-sanity, ${accessType}: ${report.passed} passed, ${report.failed} failed, ${report.skipped} skipped\n`,
    );
    assert.equal(failuresOf(report), []);
    assert.ok(report.passed > 50, `${report.passed} passed`);
    assert.equal([mountsBelow(folder), loopsBelow(folder), holdersBelow(folder)], [[], [], []]);
    assert.equal(await cluster.cluster.pfcli('list_volume'), []);
  });
}

test.run();

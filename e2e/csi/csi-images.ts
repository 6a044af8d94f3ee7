// Images of the driver, of Kubernetes' sidecars and of a shell, as archives for nodes of the rig. Their programs are this machine's own, with
// the libraries that they want, where the Dockerfile of the driver has Debian's packages. Called by kubelet.test.ts.
import { join } from 'node:path';
import { accessSync, constants } from 'node:fs';
import { programFiles, writeImage, type ImageFile } from '../kube/image.ts';
import { buildImage, IMAGE } from '../operator/operator-rig.ts';
import { sidecarPath, type Sidecar } from './sidecars.ts';

export const SHELL_IMAGE = 'localhost/shell:1';
const DRIVER_IMAGE = 'localhost/pureflash-csi:0.1.0';
const SIDECAR_IMAGES: Readonly<Record<Sidecar, string>> = {
  'csi-provisioner': 'localhost/csi-provisioner:v6.3.0',
  'csi-attacher': 'localhost/csi-attacher:v4.12.0',
  'csi-resizer': 'localhost/csi-resizer:v2.2.0',
};

/** What the Dockerfile gets from Debian's packages mount, util-linux, e2fsprogs, xfsprogs and coreutils. */
const TOOLS = [
  'mount',
  'umount',
  'blkid',
  'blockdev',
  'mkfs.ext4',
  'e2fsck',
  'resize2fs',
  'mkfs.xfs',
  'xfs_growfs',
  'dd',
  'stat',
];
const SHELL_TOOLS = ['cat', 'cmp', 'dd', 'df', 'head', 'sha256sum', 'sleep', 'stat', 'sync'];

/** Writes them all into the folder; answers their files. */
export async function buildImages(folder: string): Promise<readonly string[]> {
  const files: string[] = [];
  const fileOf = (name: string): string => {
    const file = join(folder, `${name}.tar`);
    files.push(file);
    return file;
  };
  await buildImage(fileOf('pureflash'), IMAGE);
  const settings: ImageFile = { path: '/etc/mke2fs.conf', from: { source: '/etc/mke2fs.conf' } };
  await buildImage(fileOf('pureflash-csi'), DRIVER_IMAGE, 'pureflash-csi', [...TOOLS.flatMap(toolFiles), settings]);
  for (const [sidecar, name] of Object.entries(SIDECAR_IMAGES)) {
    const path = `/${sidecar}`;
    const program = { path, from: { source: sidecarPath(sidecar as Sidecar) } };
    writeImage({ file: fileOf(sidecar), name, files: [program], entrypoint: [path] });
  }
  const shell = [...programFiles('/bin/sh'), ...SHELL_TOOLS.flatMap(toolFiles)];
  writeImage({ file: fileOf('shell'), name: SHELL_IMAGE, files: shell, entrypoint: ['/bin/sh'] });
  return files;
}

function toolFiles(name: string): readonly ImageFile[] {
  const path = ['/usr/bin', '/usr/sbin'].map((folder) => join(folder, name)).find(isProgram);
  if (path === undefined) throw new Error(`cannot make an image: this machine has no ${name}`);
  return programFiles(path);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // The next folder may have it.
  }
}

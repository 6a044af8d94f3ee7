// What the suites of the Helm chart share: where it lies, what it renders to, and the image that it installs.
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { ControlPlane } from '../kube/control-plane.ts';

const ROOT = resolve(import.meta.dirname, '../..');
export const CHART = join(ROOT, 'charts/pureflash');
export const QUICKSTART = join(ROOT, 'e2e/examples/quickstart.yaml');
export const VOLUME = join(ROOT, 'e2e/examples/volume.yaml');
export const RELEASE = 'pf';
export const RELEASE_NAMESPACE = 'pureflash';

const KIND = ['--api-versions', 'pureflash.io/v1alpha1/StorageCluster'];

export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** As text, without asking a server. */
export async function render(plane: ControlPlane, ...flags: string[]): Promise<string> {
  return plane.helm('template', RELEASE, CHART, '-n', RELEASE_NAMESPACE, '--kube-version', '1.36.0', ...KIND, ...flags);
}

export function objectsOf(manifest: string): readonly Rendered[] {
  const objects = parseAllDocuments(manifest).map((document) => document.toJS() as Rendered | null);
  return objects.filter((object) => object !== null);
}

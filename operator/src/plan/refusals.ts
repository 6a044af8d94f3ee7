// What a spec may ask for that this version does not have, or that would do harm: said before anything is touched.
import type { ControlView, ClusterView } from './view.ts';

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** Null: the spec can be realised. */
export function refusalOf(view: ClusterView): Refusal | null {
  const { spec, control } = view;
  if (spec.conductors.count > 1) return notAvailable(`conductors.count: ${spec.conductors.count}`, 'one conductor serves; say 1');
  return control === null ? null : downgradeOf(spec.image, control);
}

function notAvailable(field: string, advice: string): Refusal {
  return { reason: 'NotAvailable', message: `${field} is not available in this version: ${advice}` };
}

/** An older program may not know the disk format of a newer one. Tags that are no versions cannot be compared: the stores then check themselves. */
function downgradeOf(image: string, control: ControlView): Refusal | null {
  const wanted = versionOf(image.slice(image.lastIndexOf(':') + 1));
  if (wanted === null) return null;
  for (const version of [control.version, ...control.stores.map((store) => store.version)]) {
    const running = versionOf(version);
    if (running === null || !isOlder(wanted, running)) continue;
    return {
      reason: 'DowngradeRefused',
      message: `image ${image} is older than ${version}, which has written the disks; take an image of at least ${version}`,
    };
  }
  return null;
}

/** Major and minor: patches keep the formats. */
function versionOf(text: string): readonly [number, number] | null {
  const match = /^v?(\d{1,6})\.(\d{1,6})\.\d{1,6}$/.exec(text);
  return match === null ? null : [Number(match[1]), Number(match[2])];
}

const isOlder = (a: readonly [number, number], b: readonly [number, number]): boolean =>
  a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);

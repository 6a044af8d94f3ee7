// What goes into which image: the programs, by their main files. A new program is one line.
export interface Component {
  /** Name of the image, and of its folder under build/images. */
  readonly name: string;
  /** Program name -> main file. */
  readonly programs: Readonly<Record<string, string>>;
  /** The native addon lies beside the programs. */
  readonly hasAddon: boolean;
}

export const COMPONENTS: readonly Component[] = [
  {
    name: 'pureflash',
    programs: {
      pfconductor: 'datapath/src/bin/pfconductor.ts',
      pfstore: 'datapath/src/bin/pfstore.ts',
      pfdiscover: 'datapath/src/bin/pfdiscover.ts',
      pfcli: 'datapath/src/bin/pfcli.ts',
      'nbd-serve': 'datapath/src/bin/nbd-serve.ts',
      pfnbd: 'datapath/src/bin/pfnbd.ts',
    },
    hasAddon: true,
  },
  { name: 'pureflash-csi', programs: { 'pureflash-csi': 'csi/src/bin/csi.ts' }, hasAddon: false },
  { name: 'pureflash-operator', programs: { 'pureflash-operator': 'operator/src/bin/operator.ts' }, hasAddon: false },
];

/** Where programs lie in every image; manifests name it. */
export const PROGRAM_FOLDER = '/opt/pureflash';

// Every verb of pfcli: its name, its summary for --help, and where its code is. The code of a verb is loaded when it is
// called, so that pfcli starts as fast as Node does.
import type { Verb } from './verb.ts';

export interface VerbEntry {
  readonly summary: string;
  readonly load: () => Promise<Verb>;
}

export const VERBS: Readonly<Record<string, VerbEntry>> = {
  list_store: { summary: 'the stores of the cluster', load: async () => (await import('./list-store.ts')).listStore },
  list_disk: { summary: 'the disks of all stores', load: async () => (await import('./list-disk.ts')).listDisk },
  list_node: { summary: 'the nodes that can attach volumes', load: async () => (await import('./list-node.ts')).listNode },
  create_volume: { summary: 'create a volume', load: async () => (await import('./create-volume.ts')).createVolume },
  list_volume: { summary: 'the volumes of the cluster', load: async () => (await import('./list-volume.ts')).listVolume },
  open_volume: {
    summary: 'attach a volume (fencing its other writers) and show where it lives',
    load: async () => (await import('./open-volume.ts')).openVolume,
  },
  resize_volume: { summary: 'make a volume larger', load: async () => (await import('./resize-volume.ts')).resizeVolume },
  detach_volume: {
    summary: 'take a volume away from the client that has it attached',
    load: async () => (await import('./detach-volume.ts')).detachVolume,
  },
  delete_volume: { summary: 'delete a volume and its data', load: async () => (await import('./delete-volume.ts')).deleteVolume },
  export_volume: {
    summary: 'serve a volume over NBD until Ctrl-C',
    load: async () => (await import('./export-volume.ts')).exportVolume,
  },
  compare_replicas: {
    summary: 'read every replica of a volume and compare them',
    load: async () => (await import('./compare-replicas.ts')).compareReplicas,
  },
  completion: {
    summary: 'print the shell completion for bash or zsh',
    load: async () => (await import('./completion.ts')).completion,
  },
};

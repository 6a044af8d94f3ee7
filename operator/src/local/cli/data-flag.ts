// The flag that all verbs share: where the cluster lies.
export const DATA_FLAG = {
  kind: 'string',
  help: "folder of the cluster: hosts' files, sockets, logs",
  placeholder: 'DIR',
  default: './pureflash-data',
} as const;

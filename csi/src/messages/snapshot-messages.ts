// CSI 1.12: snapshots, as the Controller service speaks of them.
import { flag, int32, int64, listOf, message, nested, secretMap, text, textMap } from './description.ts';
import type { MessageOf } from './description.ts';
import { Timestamp } from './well-known.ts';

export const Snapshot = message('csi.v1.Snapshot', {
  sizeBytes: int64(1),
  snapshotId: text(2),
  sourceVolumeId: text(3),
  creationTime: nested(4, Timestamp),
  readyToUse: flag(5),
  groupSnapshotId: text(6),
});
export type Snapshot = MessageOf<typeof Snapshot>;

export const CreateSnapshotRequest = message('csi.v1.CreateSnapshotRequest', {
  sourceVolumeId: text(1),
  name: text(2),
  secrets: secretMap(3),
  parameters: textMap(4),
});
export type CreateSnapshotRequest = MessageOf<typeof CreateSnapshotRequest>;

export const CreateSnapshotResponse = message('csi.v1.CreateSnapshotResponse', { snapshot: nested(1, Snapshot) });
export type CreateSnapshotResponse = MessageOf<typeof CreateSnapshotResponse>;

export const DeleteSnapshotRequest = message('csi.v1.DeleteSnapshotRequest', { snapshotId: text(1), secrets: secretMap(2) });
export type DeleteSnapshotRequest = MessageOf<typeof DeleteSnapshotRequest>;

export const DeleteSnapshotResponse = message('csi.v1.DeleteSnapshotResponse', {});
export type DeleteSnapshotResponse = MessageOf<typeof DeleteSnapshotResponse>;

export const ListSnapshotsRequest = message('csi.v1.ListSnapshotsRequest', {
  maxEntries: int32(1),
  startingToken: text(2),
  sourceVolumeId: text(3),
  snapshotId: text(4),
  secrets: secretMap(5),
});
export type ListSnapshotsRequest = MessageOf<typeof ListSnapshotsRequest>;

export const ListedSnapshot = message('csi.v1.ListSnapshotsResponse.Entry', { snapshot: nested(1, Snapshot) });
export type ListedSnapshot = MessageOf<typeof ListedSnapshot>;

export const ListSnapshotsResponse = message('csi.v1.ListSnapshotsResponse', {
  entries: listOf(1, ListedSnapshot),
  nextToken: text(2),
});
export type ListSnapshotsResponse = MessageOf<typeof ListSnapshotsResponse>;

export const GetSnapshotRequest = message('csi.v1.GetSnapshotRequest', { snapshotId: text(1), secrets: secretMap(2) });
export type GetSnapshotRequest = MessageOf<typeof GetSnapshotRequest>;

export const GetSnapshotResponse = message('csi.v1.GetSnapshotResponse', { snapshot: nested(1, Snapshot) });
export type GetSnapshotResponse = MessageOf<typeof GetSnapshotResponse>;

// Names of what belongs to managed servers, and of where their data lies.
import type { ServerGroup, ServerKind } from '../plan/cluster-plan.ts';
import { shortName, type ClusterFrame } from './cluster-frame.ts';

/** Of the StatefulSet, the Service for clients, the files, the passwords, the budget and the NetworkPolicy. */
export const serversName = (frame: Pick<ClusterFrame, 'name' | 'hash'>, kind: ServerKind): string =>
  shortName(frame.hash, `${frame.name}-${kind}`);

/** Of the headless Service by which servers find each other. */
export const peersName = (frame: ClusterFrame, kind: ServerKind): string => shortName(frame.hash, `${frame.name}-${kind}-peers`);

const DATA = 'data';
export const serverClaimTemplate = DATA;

export const serverClaimName = (frame: ClusterFrame, kind: ServerKind, ordinal: number): string =>
  `${DATA}-${serversName(frame, kind)}-${ordinal}`;

export const serverVolumeName = (frame: ClusterFrame, kind: ServerKind, ordinal: number): string =>
  `pureflash-${frame.namespace}-${serversName(frame, kind)}-${ordinal}`;

/** Where the others find each server, by ordinal: short of the cluster's domain, which is the resolver's business. */
export const peerHosts = (frame: ClusterFrame, { kind, count }: ServerGroup): readonly string[] =>
  Array.from(
    { length: count },
    (_, ordinal) => `${serversName(frame, kind)}-${ordinal}.${peersName(frame, kind)}.${frame.namespace}.svc`,
  );

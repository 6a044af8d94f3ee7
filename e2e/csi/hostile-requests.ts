// Requests that nobody well-meaning sends: names with slashes, shell characters and 4 KiB, sizes below zero, capabilities that contradict
// themselves, paths outside of kubelet's directory. Each with the statuses that are a clean answer to it.
import type { Controller } from '../../csi/src/messages/controller-service.ts';
import type { Node } from '../../csi/src/messages/node-service.ts';
import type { AccessModeName } from '../../csi/src/messages/volume-messages.ts';
import type { RpcClient } from '../../csi/src/rpc/grpc-client.ts';
import { capabilityOf, type WalkedVolume } from '../../csi/src/walker.ts';

export interface HostileRequest {
  readonly title: string;
  readonly send: () => Promise<unknown>;
  readonly expected: readonly string[];
}

export interface Target {
  readonly controller: RpcClient<typeof Controller>;
  readonly node: RpcClient<typeof Node>;
  /** A volume in use, to be left alone. */
  readonly walked: WalkedVolume;
  readonly nodeId: string;
  readonly kubeletFolder: string;
}

const NASTY_TEXTS: Readonly<Record<string, string>> = {
  empty: '',
  'a slash': 'a/b',
  'the parent': '..',
  'a way out': '../../../../etc/passwd',
  'an absolute path': '/etc/passwd',
  'a shell': '$(touch /tmp/owned); rm -rf /',
  'back quotes': '`id`',
  'a line break': 'a\nb',
  'a zero byte': 'a\0b',
  'an option': '--force',
  '4 KiB': 'x'.repeat(4096),
  'another script': 'томˮ\u202e',
  'a query': 'v&op=delete_volume',
  percents: '%2e%2e%2f',
};
const REFUSED = ['INVALID_ARGUMENT'];
const GONE = ['INVALID_ARGUMENT', 'NOT_FOUND'];
const NOTHING_DONE = ['INVALID_ARGUMENT', 'NOT_FOUND', 'OK'];

export function hostileRequests(target: Target): HostileRequest[] {
  return [...namedRequests(target), ...sizes(target), ...capabilities(target), ...paths(target)];
}

/** Every nasty text wherever a name or an id goes. */
function namedRequests({ controller, node, walked, nodeId }: Target): HostileRequest[] {
  const { volumeId, stagePath, targetPath, claim } = walked;
  const volumeCapability = capabilityOf(claim);
  return Object.entries(NASTY_TEXTS).flatMap(([kind, text]) => {
    const at = (call: string, expected: readonly string[], send: () => Promise<unknown>): HostileRequest => ({
      title: `${call} with ${kind}`,
      expected,
      send,
    });
    return [
      at('CreateVolume.name', text === '' ? REFUSED : ['OK', ...REFUSED], () =>
        controller.createVolume({ name: text, volumeCapabilities: [volumeCapability], parameters: { replicas: '1' } }),
      ),
      at('DeleteVolume', NOTHING_DONE, () => controller.deleteVolume({ volumeId: text })),
      at('ControllerPublish.node', GONE, () => controller.controllerPublishVolume({ volumeId, nodeId: text, volumeCapability })),
      at('ControllerPublish.volume', GONE, () =>
        controller.controllerPublishVolume({ volumeId: text, nodeId, volumeCapability }),
      ),
      at('ControllerExpand', GONE, () =>
        controller.controllerExpandVolume({ volumeId: text, capacityRange: { requiredBytes: 1 } }),
      ),
      at('NodeStage.volume', GONE, () =>
        node.nodeStageVolume({
          volumeId: text,
          publishContext: { attachment: '1' },
          stagingTargetPath: stagePath,
          volumeCapability,
        }),
      ),
      at('NodeStage.attachment', REFUSED, () =>
        node.nodeStageVolume({ volumeId, publishContext: { attachment: text }, stagingTargetPath: stagePath, volumeCapability }),
      ),
      at('NodeUnpublish.volume', NOTHING_DONE, () =>
        node.nodeUnpublishVolume({ volumeId: text, targetPath: `${targetPath}-none` }),
      ),
    ];
  });
}

function sizes({ controller, node, walked }: Target): HostileRequest[] {
  const volumeCapabilities = [capabilityOf(walked.claim)];
  const ranges = [
    { requiredBytes: -1 },
    { limitBytes: -1 },
    { requiredBytes: Number.MAX_SAFE_INTEGER },
    { requiredBytes: 10, limitBytes: 5 },
    { requiredBytes: Number.MIN_SAFE_INTEGER },
  ];
  return ranges.flatMap((capacityRange) => [
    {
      title: `CreateVolume of ${JSON.stringify(capacityRange)}`,
      expected: ['INVALID_ARGUMENT', 'OUT_OF_RANGE'],
      send: () => controller.createVolume({ name: 'odd', volumeCapabilities, capacityRange }),
    },
    {
      title: `NodeExpand to ${JSON.stringify(capacityRange)}`,
      expected: ['INVALID_ARGUMENT', 'OUT_OF_RANGE', 'OK'],
      send: () => node.nodeExpandVolume({ volumeId: walked.volumeId, volumePath: walked.targetPath, capacityRange }),
    },
  ]);
}

function capabilities({ controller, node, walked, nodeId }: Target): HostileRequest[] {
  const { volumeId, stagePath } = walked;
  const mount = (words: object, mode: AccessModeName = 'SINGLE_NODE_WRITER') => ({ mount: words, accessMode: { mode } });
  const odd = {
    nothing: {},
    'no mode': { mount: {} },
    'an unknown mode': mount({}, 'UNKNOWN'),
    'many writers of a filesystem': mount({}, 'MULTI_NODE_MULTI_WRITER'),
    'a foreign filesystem': mount({ fsType: 'ntfs; reboot' }),
    'a filesystem that is a path': mount({ fsType: '../../bin/sh' }),
  };
  return Object.entries(odd).flatMap(([kind, volumeCapability]) => [
    {
      title: `CreateVolume with a capability of ${kind}`,
      expected: REFUSED,
      send: () => controller.createVolume({ name: 'odd', volumeCapabilities: [volumeCapability] }),
    },
    {
      title: `ControllerPublish with a capability of ${kind}`,
      expected: REFUSED,
      send: () => controller.controllerPublishVolume({ volumeId, nodeId, volumeCapability }),
    },
    {
      title: `NodeStage with a capability of ${kind}`,
      expected: REFUSED,
      send: () =>
        node.nodeStageVolume({ volumeId, publishContext: { attachment: '1' }, stagingTargetPath: stagePath, volumeCapability }),
    },
  ]);
}

function paths({ node, walked, kubeletFolder }: Target): HostileRequest[] {
  const { volumeId, stagePath, claim } = walked;
  const volumeCapability = capabilityOf(claim);
  const outside = [
    '/etc',
    '/',
    `${kubeletFolder}/../out`,
    `${kubeletFolder}/./x`,
    `${kubeletFolder}//x`,
    'relative/path',
    `${kubeletFolder}/link/x`,
    `${kubeletFolder}/${'x'.repeat(300)}`,
    `${kubeletFolder}-beside/x`,
    `${kubeletFolder}/a\nb`,
  ];
  return outside.flatMap((path) => {
    const title = (call: string): string => `${call} at ${JSON.stringify(path.slice(0, 60))}`;
    const publishContext = { attachment: '1' };
    return [
      {
        title: title('NodeStage'),
        expected: REFUSED,
        send: () => node.nodeStageVolume({ volumeId, publishContext, stagingTargetPath: path, volumeCapability }),
      },
      {
        title: title('NodePublish'),
        expected: REFUSED,
        send: () =>
          node.nodePublishVolume({ volumeId, publishContext, stagingTargetPath: stagePath, targetPath: path, volumeCapability }),
      },
      {
        title: title('NodeUnpublish'),
        expected: REFUSED,
        send: () => node.nodeUnpublishVolume({ volumeId, targetPath: path }),
      },
      {
        title: title('NodeGetVolumeStats'),
        expected: GONE,
        send: () => node.nodeGetVolumeStats({ volumeId, volumePath: path }),
      },
    ];
  });
}

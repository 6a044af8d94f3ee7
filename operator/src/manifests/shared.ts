// What daemons of a cluster share: live settings, the services by which people and monitors find them, budgets for drains.
import type { KubeObject } from '../api/objects.ts';
import type { Budget, LiveSettings } from '../plan/cluster-plan.ts';
import {
  conductorName,
  configName,
  DOMAIN_LABEL,
  labelValue,
  owned,
  selectorOf,
  shortName,
  storesName,
  tokenName,
  type ClusterFrame,
} from './cluster-frame.ts';

/** Read by the daemons while they run: a change restarts nobody. */
export function liveConfig(frame: ClusterFrame, settings: LiveSettings): KubeObject {
  return owned(
    frame,
    { apiVersion: 'v1', kind: 'ConfigMap', name: configName(frame), component: 'config' },
    {
      data: {
        'conductor.json': text({ logLevel: settings.conductorLogLevel }),
        'store.json': text({ logLevel: settings.storeLogLevel, recoveryParallel: settings.recoveryParallel }),
      },
    },
  );
}

/** Made once; daemons and whoever calls them read it. */
export function apiToken(frame: ClusterFrame, token: string): KubeObject {
  return owned(
    frame,
    { apiVersion: 'v1', kind: 'Secret', name: tokenName(frame), component: 'config' },
    { type: 'Opaque', immutable: true, stringData: { token } },
  );
}

export function conductorService(frame: ClusterFrame): KubeObject {
  return owned(
    frame,
    { apiVersion: 'v1', kind: 'Service', name: conductorName(frame), component: 'conductor' },
    {
      spec: {
        type: 'ClusterIP',
        selector: selectorOf(frame, 'conductor'),
        ports: [{ name: 'http', port: frame.spec.ports.conductor, targetPort: frame.spec.ports.conductor, protocol: 'TCP' }],
      },
    },
  );
}

/** Headless: for monitors, which want every store. */
export function storesService(frame: ClusterFrame): KubeObject {
  return owned(
    frame,
    { apiVersion: 'v1', kind: 'Service', name: storesName(frame), component: 'store' },
    {
      spec: {
        type: 'ClusterIP',
        clusterIP: 'None',
        selector: selectorOf(frame, 'store'),
        ports: [
          {
            name: 'management',
            port: frame.spec.ports.storeManagement,
            targetPort: frame.spec.ports.storeManagement,
            protocol: 'TCP',
          },
        ],
      },
    },
  );
}

export function budget(frame: ClusterFrame, { domain, maxUnavailable }: Budget): KubeObject {
  const suffix = domain === null ? 'any' : labelValue(frame.hash, domain);
  const selector = selectorOf(frame, 'store');
  const narrowed = domain === null ? selector : { ...selector, [DOMAIN_LABEL]: labelValue(frame.hash, domain) };
  const name = shortName(frame.hash, `${frame.name}-stores-${suffix.toLowerCase().replaceAll('_', '-')}`);
  return owned(
    frame,
    { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', name, component: 'store' },
    { spec: { maxUnavailable, selector: { matchLabels: narrowed }, unhealthyPodEvictionPolicy: 'AlwaysAllow' } },
  );
}

/** For the Prometheus operator, where the cluster knows its kinds. */
export function monitors(frame: ClusterFrame): readonly KubeObject[] {
  const made = (name: string, component: 'conductor' | 'store', port: string): KubeObject =>
    owned(
      frame,
      { apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor', name, component },
      {
        spec: {
          selector: { matchLabels: selectorOf(frame, component) },
          endpoints: [{ port, path: '/metrics', interval: '30s' }],
        },
      },
    );
  return [made(conductorName(frame), 'conductor', 'http'), made(storesName(frame), 'store', 'management')];
}

const text = (value: object): string => `${JSON.stringify(value)}\n`;

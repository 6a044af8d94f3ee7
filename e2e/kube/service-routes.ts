// Which pods a service leads to, and which addresses a name has, as kube-proxy and a cluster's DNS decide it. Pure; called by
// cluster-network.ts with what the API server listed last.

export interface ServiceObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly clusterIP?: string;
    readonly selector?: Readonly<Record<string, string>>;
    readonly publishNotReadyAddresses?: boolean;
    readonly ports?: readonly ServicePort[];
  };
}

export interface ServicePort {
  readonly port: number;
  readonly protocol?: string;
  readonly targetPort?: number | string;
}

export interface PodObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: {
    readonly hostname?: string;
    readonly subdomain?: string;
    readonly containers: readonly { readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[] }[];
  };
  readonly status?: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface Routes {
  readonly services: readonly ServiceObject[];
  readonly pods: readonly PodObject[];
}

export interface Target {
  readonly address: string;
  readonly port: number;
}

const CLUSTER_DOMAIN = 'svc.cluster.local';

/** Where connections to a service's port go: every pod that is ready, at the port that the service means. */
export function targetsOf(routes: Routes, namespace: string, name: string, port: number): readonly Target[] {
  const service = findService(routes, namespace, name);
  const servicePort = service?.spec.ports?.find((entry) => entry.port === port);
  if (service === undefined || servicePort === undefined) return [];
  return podsOf(routes, service).flatMap((pod) => {
    const target = portOf(pod, servicePort.targetPort ?? port);
    return target === null ? [] : [{ address: pod.status!.podIP!, port: target }];
  });
}

/**
 * Addresses of `service.namespace.svc.cluster.local`: its own, or its pods' when it is headless; and of
 * `hostname.service.namespace.svc.cluster.local`: that pod's. Null when there is no such name.
 */
export function resolveName(routes: Routes, name: string): readonly string[] | null {
  if (!name.endsWith(`.${CLUSTER_DOMAIN}`)) return null;
  const labels = name.slice(0, -CLUSTER_DOMAIN.length - 1).split('.');
  const [serviceName, namespace] = labels.slice(-2);
  if (labels.length > 3 || serviceName === undefined || namespace === undefined) return null;
  const service = findService(routes, namespace, serviceName);
  if (service === undefined) return null;
  const pods = podsOf(routes, service);
  if (labels.length === 3) {
    const pod = pods.find(({ spec }) => spec.hostname === labels[0] && spec.subdomain === serviceName);
    return pod === undefined ? null : [pod.status!.podIP!];
  }
  const { clusterIP } = service.spec;
  return clusterIP === undefined || clusterIP === 'None' ? pods.map((pod) => pod.status!.podIP!) : [clusterIP];
}

function findService(routes: Routes, namespace: string, name: string): ServiceObject | undefined {
  return routes.services.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
}

/** Those that have an address, are ready (unless the service wants all) and are not about to end. */
function podsOf({ pods }: Routes, { metadata, spec }: ServiceObject): readonly PodObject[] {
  const selector = Object.entries(spec.selector ?? {});
  if (selector.length === 0) return [];
  return pods.filter((pod) => {
    if (pod.metadata.namespace !== metadata.namespace || (pod.status?.podIP ?? '') === '') return false;
    if (!selector.every(([key, value]) => pod.metadata.labels?.[key] === value)) return false;
    if (spec.publishNotReadyAddresses === true) return true;
    const isReady = pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
    return isReady && pod.metadata.deletionTimestamp === undefined;
  });
}

function portOf(pod: PodObject, target: number | string): number | null {
  if (typeof target === 'number') return target;
  const ports = pod.spec.containers.flatMap((container) => container.ports ?? []);
  return ports.find((port) => port.name === target)?.containerPort ?? null;
}

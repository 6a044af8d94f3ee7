// Credentials from a kubeconfig file, by the Kubernetes project's own library. Loaded only when there is a file to read (credentials.ts).
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { PfError } from '@pureflash/datapath/base';
import type { ApiLocation, Credentials } from './credentials.ts';

/** Without a path: $KUBECONFIG's or the user's own file. */
export function kubeconfigLocation(path: string | undefined, context: string | undefined): ApiLocation {
  const config = new KubeConfig();
  try {
    if (path === undefined || path.includes(':')) config.loadFromDefault();
    else config.loadFromFile(path);
    if (context !== undefined) config.setCurrentContext(context);
  } catch (cause) {
    throw new PfError('INVALID_ARGUMENT', `cannot read the kubeconfig ${path ?? 'of this user'}`, { cause });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    const wanted = context ?? config.getCurrentContext();
    throw new PfError(
      'INVALID_ARGUMENT',
      `the kubeconfig ${path ?? 'of this user'} has no cluster for its context "${wanted ?? ''}"`,
    );
  }
  return {
    url: new URL(cluster.server),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    read: () => readCredentials(config, cluster.proxyUrl !== undefined && cluster.proxyUrl !== ''),
  };
}

async function readCredentials(config: KubeConfig, usesProxy: boolean): Promise<Credentials> {
  const options: RequestOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch (cause) {
    throw new PfError('PERMISSION_DENIED', 'cannot get credentials by the kubeconfig', { cause });
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (typeof value === 'string') headers[name.toLowerCase()] = value;
  }
  if (typeof options.auth === 'string') headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return {
    headers,
    ...(options.ca === undefined ? {} : { ca: options.ca as Buffer }),
    ...(options.cert === undefined ? {} : { cert: options.cert as Buffer }),
    ...(options.key === undefined ? {} : { key: options.key as Buffer }),
    ...(options.servername === undefined ? {} : { serverName: options.servername }),
    ...(options.rejectUnauthorized === false ? { skipsVerification: true } : {}),
    ...(usesProxy && typeof options.agent === 'object' ? { agent: options.agent } : {}),
  };
}

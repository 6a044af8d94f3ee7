// Where the API server is and who we are: inside a pod from the service account's files, elsewhere from a kubeconfig file. The library
// that understands kubeconfig (exec plugins, OIDC, proxies) costs half a second and 75 MiB, so it is loaded only when there is one to read.
// Tokens and certificates are looked at again every minute, and at once after the server refused them: they rotate.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Agent } from 'node:http';
import { PfError } from '@pureflash/datapath/base';

export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly serverName?: string;
  /** True only where a kubeconfig says so itself. */
  readonly skipsVerification?: boolean;
  /** Through a proxy: connections are made by this one. */
  readonly agent?: Agent;
}

export interface ApiLocation {
  readonly url: URL;
  /** The namespace that this program or this context lives in. */
  readonly namespace: string;
  read(): Promise<Credentials>;
}

export interface LocateOptions {
  /** Path of a kubeconfig file. Default: $KUBECONFIG, then the pod's own account, then ~/.kube/config. */
  readonly kubeconfig?: string;
  readonly context?: string;
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Errors: INVALID_ARGUMENT for a kubeconfig that says too little, NOT_FOUND when there is neither file nor pod. */
export async function locateApi(options: LocateOptions = {}): Promise<ApiLocation> {
  const named = options.kubeconfig ?? process.env['KUBECONFIG'];
  if ((named === undefined || named === '') && isInPod()) return podLocation(process.env, ACCOUNT);
  const { kubeconfigLocation } = await import('./kubeconfig.ts');
  return kubeconfigLocation(named === '' ? undefined : named, options.context);
}

function isInPod(): boolean {
  return process.env['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(`${ACCOUNT}/token`);
}

/** `folder` holds token, ca.crt and namespace, as kubelet projects them. */
export async function podLocation(
  environment: Readonly<Record<string, string | undefined>>,
  folder: string,
): Promise<ApiLocation> {
  const host = environment['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === '')
    throw new PfError('NOT_FOUND', 'cannot find the API server: KUBERNETES_SERVICE_HOST is not set, so this is no pod');
  const namespace = await readFile(`${folder}/namespace`, 'utf8').catch(() => 'default');
  return {
    url: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    namespace: namespace.trim(),
    async read() {
      const [token, ca] = await Promise.all([readFile(`${folder}/token`, 'utf8'), readFile(`${folder}/ca.crt`)]).catch(
        (cause: unknown) => {
          throw new PfError('PERMISSION_DENIED', `cannot read the service account in ${folder}`, { cause });
        },
      );
      return { headers: { authorization: `Bearer ${token.trim()}` }, ca };
    },
  };
}

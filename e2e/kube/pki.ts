// The certificates of one test cluster: an authority, and what it signs. Keys come from Node, certificates from openssl
// (3.0 or later). Called by control-plane.ts and node.ts. Everything lies in one folder that its owner removes.
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const VALID_DAYS = '3650';
// The machine's own openssl.cnf would add extensions to what we sign.
const PLAIN_CONFIG = '[req]\ndistinguished_name = name\n[name]\n';

export interface Certificate {
  readonly certificatePath: string;
  readonly keyPath: string;
}

export class Pki {
  readonly folder: string;
  readonly authority: Certificate;
  /** Signs the tokens of service accounts. */
  readonly tokenKeyPath: string;
  readonly tokenPublicKeyPath: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.authority = this.#paths('authority');
    this.tokenKeyPath = join(folder, 'tokens.key');
    this.tokenPublicKeyPath = join(folder, 'tokens.pub');
  }

  static async create(folder: string): Promise<Pki> {
    const pki = new Pki(folder);
    writeFileSync(pki.#configPath, PLAIN_CONFIG);
    const tokens = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    writeFileSync(pki.tokenKeyPath, tokens.privateKey, { mode: 0o600 });
    writeFileSync(pki.tokenPublicKeyPath, tokens.publicKey);
    await pki.#sign(
      pki.authority,
      '/CN=test-cluster',
      ['basicConstraints=critical,CA:TRUE', 'keyUsage=keyCertSign,digitalSignature'],
      [],
    );
    return pki;
  }

  /** Signs a certificate for clients and servers. `subject`: "/O=group/CN=user"; `alternativeNames`: "IP:127.0.0.1", "DNS:name". */
  async issue(name: string, subject: string, alternativeNames: readonly string[] = []): Promise<Certificate> {
    const certificate = this.#paths(name);
    const extensions = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth,clientAuth'];
    if (alternativeNames.length > 0) extensions.push(`subjectAltName=${alternativeNames.join(',')}`);
    const { certificatePath, keyPath } = this.authority;
    await this.#sign(certificate, subject, extensions, ['-CA', certificatePath, '-CAkey', keyPath]);
    return certificate;
  }

  async #sign(target: Certificate, subject: string, extensions: readonly string[], signer: readonly string[]): Promise<void> {
    const { privateKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    writeFileSync(target.keyPath, privateKey, { mode: 0o600 });
    const words = ['req', '-x509', '-config', this.#configPath, '-key', target.keyPath, '-out', target.certificatePath];
    words.push('-sha256', '-days', VALID_DAYS, '-subj', subject, ...signer);
    await run('openssl', [...words, ...extensions.flatMap((extension) => ['-addext', extension])]);
  }

  get #configPath(): string {
    return join(this.folder, 'openssl.cnf');
  }

  #paths(name: string): Certificate {
    return { certificatePath: join(this.folder, `${name}.crt`), keyPath: join(this.folder, `${name}.key`) };
  }
}

/** Writes a kubeconfig that names its files, as JSON, which is YAML. */
export function writeKubeconfig(path: string, url: string, authority: Certificate, user: Certificate): void {
  const cluster = { server: url, 'certificate-authority': authority.certificatePath };
  const credentials = { 'client-certificate': user.certificatePath, 'client-key': user.keyPath };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'pureflash', cluster }],
    users: [{ name: 'pureflash', user: credentials }],
    contexts: [{ name: 'pureflash', context: { cluster: 'pureflash', user: 'pureflash' } }],
    'current-context': 'pureflash',
  };
  writeFileSync(path, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
}

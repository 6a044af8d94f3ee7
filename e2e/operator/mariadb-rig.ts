// Managed MariaDB servers as processes of this machine, and people who talk to them. Called by the suites of MariaDB and of Galera.
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { runTool } from '../interop/tool.ts';
import { waitFor } from '../local/wait-for.ts';
import { serverFiles, ServerProcess } from './server-process.ts';

const PATIENCE_MS = 90_000;
const USERS = ['root', 'conductor', 'monitor', 'replication'] as const;
type User = (typeof USERS)[number];

interface AskOptions {
  readonly overTcp?: boolean;
  readonly password?: string;
}

export class MariadbRig {
  readonly servers: readonly ServerProcess[];
  passwords = {} as Record<User, string>;
  readonly #folder: string;
  /** Other tests have servers too. */
  readonly #subnet = `127.${64 + (process.pid % 128)}.${(process.pid >> 7) % 256}`;

  /** `golden`: the file of manifests that they are made from. */
  constructor(golden: string, count: number) {
    this.#folder = mkdtempSync(join(tmpdir(), 'pf-db-'));
    chmodSync(this.#folder, 0o755);
    mkdirSync(join(this.#folder, 'secret'));
    this.writePasswords();
    this.servers = Array.from({ length: count }, (_, ordinal) => this.#serverOf(golden, ordinal, count));
  }

  #serverOf(golden: string, ordinal: number, count: number): ServerProcess {
    const address = this.addressOf(ordinal);
    const place = join(this.#folder, String(ordinal));
    const others = Array.from(
      { length: count },
      (_, each) => [`demo-mariadb-${each}.demo-mariadb-peers.storage.svc`, this.addressOf(each)] as const,
    );
    return new ServerProcess(serverFiles(golden, 'demo-mariadb'), {
      folder: place,
      podName: `demo-mariadb-${ordinal}`,
      address,
      instead: [
        ...others,
        ['/etc/pureflash-mariadb-secret', join(this.#folder, 'secret')],
        ['/etc/pureflash-mariadb', join(place, 'config')],
        ['/run/pureflash-mariadb', join(place, 'run')],
        ['/data', join(place, 'store')],
      ],
    });
  }

  addressOf(ordinal: number): string {
    return `${this.#subnet}.${ordinal + 1}`;
  }

  dataOf(ordinal: number): string {
    return join(this.#folder, `${ordinal}/store`);
  }

  /** The Secret, made anew. */
  writePasswords(): void {
    for (const user of USERS) {
      this.passwords[user] = randomBytes(32).toString('hex');
      writeFileSync(join(this.#folder, `secret/${user}-password`), this.passwords[user]);
    }
  }

  async untilReady(...servers: readonly ServerProcess[]): Promise<void> {
    await waitFor('servers to be ready', PATIENCE_MS, () =>
      Promise.resolve(servers.every((server) => server.is('ready')) || null),
    );
  }

  async sql(server: ServerProcess, user: User, statement: string, options: AskOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.#ask(server, user, statement, options);
    assert.is(exitCode, 0, stderr);
    return stdout;
  }

  async isRefused(server: ServerProcess, user: User, statement: string, why: RegExp, options: AskOptions = {}): Promise<void> {
    const { exitCode, stderr } = await this.#ask(server, user, statement, options);
    assert.is.not(exitCode, 0, `${user} may do this: ${statement}`);
    assert.match(stderr, why);
  }

  #ask(server: ServerProcess, user: User, statement: string, { overTcp = user === 'conductor', password }: AskOptions) {
    const login = join(this.#folder, 'login.cnf');
    const socket = join(server.config, '../run/mariadbd.sock');
    const way = overTcp ? `host=${server.address}\nport=3306\nprotocol=tcp` : `socket=${socket}`;
    writeFileSync(login, `[client]\nuser=${user}\npassword=${password ?? this.passwords[user]}\n${way}\n`);
    return runTool('mariadb', [`--defaults-file=${login}`, '--batch', '--skip-column-names', '--execute', statement]);
  }

  async remove(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.end('SIGKILL')));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

// Runs csi-sanity against a driver's socket and says what became of each of its specs. Called by the suites that hold the driver to it:
//   const report = await runCsiSanity({ endpoint: socketPath, folder, accessType: 'mount', parameters: { replicas: '2' } });
//   assert.equal(failuresOf(report), []);
// Which specs run follows from what the driver advertises; a spec of something that it does not have is skipped, with the reason.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sanityProgramPath } from './programs.ts';

export interface CsiSanityOptions {
  /** The driver's socket: an absolute path. */
  readonly endpoint: string;
  /** Where the controller has a socket of its own. */
  readonly controllerEndpoint?: string;
  /** For what csi-sanity says and is told, and for its mounts unless `mountDir` and `stagingDir` are given. Made where it is missing. */
  readonly folder: string;
  /** The target of NodePublish and of NodeStage; csi-sanity makes and removes them, their parents must be there. */
  readonly mountDir?: string;
  readonly stagingDir?: string;
  readonly accessType: 'mount' | 'block';
  readonly volumeBytes?: number;
  readonly expandedBytes?: number;
  /** Of the storage class. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Of a volume attributes class. */
  readonly mutableParameters?: Readonly<Record<string, string>>;
  readonly snapshotParameters?: Readonly<Record<string, string>>;
  /** One page token that the driver must refuse. */
  readonly invalidListVolumesToken?: string;
  /** Also attach as many volumes as the node says that it can. */
  readonly testsAttachLimit?: boolean;
  /** Regular expressions over a spec's full name. */
  readonly focus?: readonly string[];
  readonly skip?: readonly string[];
  /** Default: 15 minutes. */
  readonly timeoutMs?: number;
}

export interface SanitySpec {
  /** "Controller Service [Controller Server] CreateVolume should fail when no name is provided". */
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'skipped';
  /** Why it failed or was skipped; empty where it passed, or was left out by `focus` and `skip`. */
  readonly complaint: string;
  readonly ms: number;
}

export interface SanityReport {
  readonly specs: readonly SanitySpec[];
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** All that it printed. */
  readonly logPath: string;
}

const TIMEOUT_MS = 15 * 60_000;
const TAIL_CHARACTERS = 4_000;

export async function runCsiSanity(options: CsiSanityOptions): Promise<SanityReport> {
  const { folder, timeoutMs = TIMEOUT_MS } = options;
  mkdirSync(folder, { recursive: true });
  const reportPath = join(folder, 'report.json');
  const logPath = join(folder, 'csi-sanity.log');
  const ending = await run([...flagsOf(options), `--ginkgo.json-report=${reportPath}`], logPath, timeoutMs);
  if (!existsSync(reportPath)) {
    throw new Error(
      `csi-sanity ended with ${ending} and no report; it said:\n${readFileSync(logPath, 'utf8').slice(-TAIL_CHARACTERS)}`,
    );
  }
  const specs = readReport(readFileSync(reportPath, 'utf8'));
  const count = (state: SanitySpec['state']): number => specs.filter((spec) => spec.state === state).length;
  const report = { specs, passed: count('passed'), failed: count('failed'), skipped: count('skipped'), logPath };
  if (ending !== 0 && report.failed === 0) {
    throw new Error(
      `csi-sanity ended with ${ending} though no spec failed; it said:\n${readFileSync(logPath, 'utf8').slice(-TAIL_CHARACTERS)}`,
    );
  }
  return report;
}

/** What failed, a line each: for an assertion that shows them. */
export function failuresOf(report: SanityReport): string[] {
  return report.specs.filter((spec) => spec.state === 'failed').map((spec) => `${spec.name}: ${spec.complaint}`);
}

/** Reads ginkgo's report. Set-up and clean-up of the suite count where they failed only. */
export function readReport(text: string): SanitySpec[] {
  const suites = JSON.parse(text) as readonly GinkgoSuite[];
  const specs = suites.flatMap((suite) => suite.SpecReports ?? []);
  return specs
    .filter((spec) => spec.LeafNodeType === 'It' || stateOf(spec) === 'failed')
    .map((spec) => ({
      name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText || spec.LeafNodeType].join(' '),
      state: stateOf(spec),
      complaint: spec.Failure?.Message ?? '',
      ms: Math.round(spec.RunTime / 1e6),
    }));
}

interface GinkgoSuite {
  readonly SpecReports: readonly GinkgoSpec[] | null;
}

interface GinkgoSpec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  /** "passed", "skipped", "pending", or one of several ways to fail. */
  readonly State: string;
  readonly Failure?: { readonly Message: string };
  /** In nanoseconds. */
  readonly RunTime: number;
}

function stateOf(spec: GinkgoSpec): SanitySpec['state'] {
  if (spec.State === 'passed') return 'passed';
  return spec.State === 'skipped' || spec.State === 'pending' ? 'skipped' : 'failed';
}

function flagsOf(options: CsiSanityOptions): string[] {
  const { folder, mountDir = join(folder, 'mount'), stagingDir = join(folder, 'staging') } = options;
  const flags = ['--ginkgo.no-color', '--ginkgo.v', `--csi.endpoint=unix://${options.endpoint}`];
  const add = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) flags.push(`--${name}=${value}`);
  };
  const addMap = (name: string, values: Readonly<Record<string, string>> | undefined): void => {
    if (values === undefined) return;
    const path = join(folder, `${name}.yaml`);
    writeFileSync(path, JSON.stringify(values)); // Which is YAML, too.
    add(name, path);
  };
  add('csi.controllerendpoint', options.controllerEndpoint && `unix://${options.controllerEndpoint}`);
  add('csi.mountdir', mountDir);
  add('csi.stagingdir', stagingDir);
  add('csi.testvolumeaccesstype', options.accessType);
  add('csi.testvolumesize', options.volumeBytes);
  add('csi.testvolumeexpandsize', options.expandedBytes);
  addMap('csi.testvolumeparameters', options.parameters);
  addMap('csi.testvolumemutableparameters', options.mutableParameters);
  addMap('csi.testsnapshotparameters', options.snapshotParameters);
  add('csi.testinvalidlistvolumesstartingtoken', options.invalidListVolumesToken);
  if (options.testsAttachLimit === true) flags.push('--csi.testnodevolumeattachlimit');
  for (const pattern of options.focus ?? []) add('ginkgo.focus', pattern);
  for (const pattern of options.skip ?? []) add('ginkgo.skip', pattern);
  return flags;
}

/** Its exit status, or the signal that ended it. It ends with this process. */
async function run(flags: readonly string[], logPath: string, timeoutMs: number): Promise<number | string | null> {
  const log = openSync(logPath, 'w');
  const child = spawn(sanityProgramPath('csi-sanity'), flags, {
    stdio: ['ignore', log, log],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  closeSync(log);
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(signal ?? code));
    });
  } finally {
    process.removeListener('exit', end);
  }
}

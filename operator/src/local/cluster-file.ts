// Reads the YAML with the StorageCluster: the same file that kubectl applies. Everything that is wrong is said with file, line and what is
// wanted. Called by `pureflash up`.
import { LineCounter, isMap, isScalar, isSeq, parseAllDocuments, type Document, type Node } from 'yaml';
import { formatErrorChain, PfError, type Json, type JsonObject } from '@pureflash/datapath/base';
import { API_VERSION } from '../api/crd.ts';
import { clusterNameRule } from '../api/v1alpha1/parts.ts';
import { STORAGE_CLUSTER, type StorageClusterSpec } from '../api/v1alpha1/storage-cluster.ts';
import { check, isObject, type Problem } from '../api/validate.ts';

export interface ClusterFile {
  readonly name: string;
  readonly spec: StorageClusterSpec;
  /** Kind and name of other resources in the file. */
  readonly others: readonly string[];
}

const TEXT_LENGTH_MAX = 1024 * 1024;
const ALIASES_MAX = 100;
const PROBLEMS_SHOWN = 20;

/** `old`: the spec that is being changed; null for a new cluster. Errors: INVALID_ARGUMENT with one line for each problem. */
export function parseClusterFile(path: string, text: string, old: StorageClusterSpec | null = null): ClusterFile {
  if (text.length > TEXT_LENGTH_MAX)
    throw new PfError('INVALID_ARGUMENT', `cannot read ${path}: it is longer than ${TEXT_LENGTH_MAX} characters`);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, logLevel: 'error' }) as readonly Document.Parsed[];
  const at = (offset: number): string => `${path}:${lines.linePos(offset).line}`;
  for (const { errors } of documents) {
    const [first] = errors;
    if (first !== undefined)
      throw new PfError(
        'INVALID_ARGUMENT',
        `${at(first.pos[0])}: ${first.message.split('\n')[0]!.replace(/ at line \d+.*$/, '')}`,
      );
  }
  const resources = documents
    .map((document) => ({ document, value: valueOf(path, document) }))
    .filter(({ value }) => value !== null);
  const clusters = resources.filter(({ value }) => isObject(value) && value['kind'] === STORAGE_CLUSTER.kind);
  if (clusters.length !== 1)
    throw new PfError(
      'INVALID_ARGUMENT',
      `${path}: one resource of the kind ${STORAGE_CLUSTER.kind} is wanted, and there are ${clusters.length}`,
    );
  const { document, value } = clusters[0]!;
  const resource = value as JsonObject;
  const problems = frameProblems(resource);
  const { value: spec, problems: found } = check(
    STORAGE_CLUSTER.spec as never,
    resource['spec'] ?? {},
    'spec',
    old as unknown as Json,
  );
  problems.push(...found);
  if (problems.length > 0)
    throw refusal(problems, (problem) =>
      at(offsetOf(document.contents, problem.path.split('.')) ?? document.contents?.range?.[0] ?? 0),
    );
  const others = resources.filter((each) => each.document !== document).map((each) => titleOf(each.value));
  return { name: nameOf(resource)!, spec: spec as unknown as StorageClusterSpec, others };
}

/** Aliases are few in files of people: many of them are there to grow. */
function valueOf(path: string, document: Document.Parsed): Json {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX }) as Json;
  } catch (error) {
    throw new PfError('INVALID_ARGUMENT', `${path}: cannot be read: ${formatErrorChain(error)}`);
  }
}

function frameProblems(resource: JsonObject): Problem[] {
  const problems: Problem[] = [];
  if (resource['apiVersion'] !== API_VERSION)
    problems.push({ path: 'apiVersion', message: `"${API_VERSION}" wanted, got ${JSON.stringify(resource['apiVersion'])}` });
  const name = nameOf(resource);
  if (name === null) problems.push({ path: 'metadata.name', message: 'a name such as "main" wanted' });
  else if (!clusterNameRule.check(name)) problems.push({ path: 'metadata.name', message: clusterNameRule.message });
  return problems;
}

function nameOf(resource: JsonObject): string | null {
  const { metadata } = resource;
  return isObject(metadata) && typeof metadata['name'] === 'string' ? metadata['name'] : null;
}

function titleOf(value: Json): string {
  if (!isObject(value)) return 'something that is no resource';
  return `${typeof value['kind'] === 'string' ? value['kind'] : 'a resource without kind'} ${nameOf(value) ?? ''}`.trim();
}

function refusal(problems: readonly Problem[], placeOf: (problem: Problem) => string): PfError {
  const shown = problems.slice(0, PROBLEMS_SHOWN).map((problem) => `${placeOf(problem)}: ${problem.path}: ${problem.message}`);
  if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more`);
  return new PfError('INVALID_ARGUMENT', shown.join('\n'));
}

/** Where the field stands, or the innermost one around it that stands in the file; null: nowhere. Keys may have dots themselves. */
function offsetOf(node: Node | null | undefined, parts: readonly string[]): number | null {
  if (node === null || node === undefined || parts.length === 0) return null;
  const [first = '', ...rest] = parts;
  const index = /^(.*)\[(\d+)\]$/.exec(first);
  if (index !== null && index[1] !== '') return offsetOf(node, [index[1]!, `[${index[2]}]`, ...rest]);
  if (index !== null) {
    const item = isSeq(node) ? (node.items[Number(index[2])] as Node | null | undefined) : null;
    return offsetOf(item, rest) ?? item?.range?.[0] ?? null;
  }
  if (!isMap(node)) return null;
  for (let length = 1; length <= parts.length; length += 1) {
    const key = parts.slice(0, length).join('.');
    const pair = node.items.find((each) => isScalar(each.key) && String(each.key.value) === key);
    if (pair === undefined) continue;
    return offsetOf(pair.value as Node | null, parts.slice(length)) ?? (pair.key as Node).range?.[0] ?? null;
  }
  return null;
}

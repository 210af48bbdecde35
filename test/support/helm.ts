/** Helm, kubeconform and the schemas of Kubernetes, where this machine has them. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { PYTHON } from './python.ts';

/** Folder of the schemas that the Python package kubernetes-validate carries; null: this Python does not have it. */
function findSchemas(): string | null {
  const line = 'import importlib.util as u; print(u.find_spec("kubernetes_validate").submodule_search_locations[0])';
  const { status, stdout } = spawnSync(PYTHON, ['-c', line], { encoding: 'utf8' });
  return status === 0 ? join(stdout.trim(), 'kubernetes-json-schema') : null;
}

const PACKAGE = findSchemas();

const missing = [
  ...['helm', 'kubeconform'].filter((program) => spawnSync(program, ['-h']).status !== 0),
  ...(PACKAGE === null ? ['Python package kubernetes-validate'] : []),
];

/** Null where all of them are there, else why tests are left out. */
export const noHelm: string | null =
  missing.length === 0 ? null : `there is no ${missing.join(', no ')}: .ci/run installs them where there is Go`;

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  /** Standard output and standard error. */
  readonly said: string;
}

export function run(program: string, args: readonly string[], input = ''): Ended {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', input });
  return { status, stdout, said: `${stdout}${stderr}` };
}

// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of a document
export type Resource = any;

export function resourcesIn(rendered: string): readonly Resource[] {
  return parseAllDocuments(rendered).flatMap((document) => document.toJS() ?? []);
}

/**
 * Asks kubeconform about rendered resources, unknown members included.
 * @param folder an empty one, for the schemas
 * @param version of Kubernetes, such as `1.30.0`
 */
export function conform(rendered: string, folder: string, version: string): Ended {
  const kinds = new Set(resourcesIn(rendered).map(({ kind, apiVersion }) => schemaFile(kind, apiVersion)));
  mkdirSync(folder, { recursive: true });
  for (const file of ['_definitions.json', ...kinds]) copySchema(file, folder, version);
  const location = `${folder}/{{ .ResourceKind }}{{ .KindSuffix }}.json`;
  const args = ['-strict', '-summary', '-kubernetes-version', version, '-schema-location', location];
  return run('kubeconform', args, rendered);
}

/** As kubeconform names it. */
function schemaFile(kind: string, apiVersion: string): string {
  const [first = '', second] = apiVersion.split('/');
  const group = first.split('.')[0];
  return `${[kind.toLowerCase(), group, ...(second === undefined ? [] : [second])].join('-')}.json`;
}

/** The package's schemas refer to each other by addresses of a server; kubeconform reads them from the folder. */
function copySchema(file: string, folder: string, version: string): void {
  const text = readFileSync(join(PACKAGE ?? '', `v${version}-local-strict`, file), 'utf8');
  const { $id: _, ...schema } = JSON.parse(text.replaceAll('"/api/_definitions.json', '"_definitions.json'));
  writeFileSync(join(folder, file), JSON.stringify(schema));
}

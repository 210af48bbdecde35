/** docs/configuration.md: a section for each part of the config, made from its JSON Schema. */

import { REFERENCE_PATTERN } from '../../src/config/secrets.ts';
import { DURATION_PATTERN } from '../../src/core/duration.ts';
import { code, fenced, GENERATED, plain, sentence, table } from './markdown.ts';
import { INTRODUCTION, PARTS } from './parts.ts';

/** What is used here of JSON Schema. */
export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly propertyNames?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
}

const HEAD = ['Setting', 'Type', 'Default', 'What it says'];

export function configurationPage(schema: Schema): string {
  const members = Object.entries(schema.properties ?? {});
  const isPart = ([, { properties, items, additionalProperties }]: [string, Schema]) =>
    (properties ?? items ?? additionalProperties) !== undefined;
  const required = new Set(schema.required);
  return `${[
    GENERATED,
    '# Configuration reference',
    INTRODUCTION,
    '## General',
    tableOf(
      members.filter((member) => !isPart(member)),
      required,
      '',
    ).text,
    ...members.filter(isPart).flatMap(([name, member]) => part(name, member, required.has(name))),
  ].join('\n\n')}\n`;
}

function part(name: string, schema: Schema, isRequired: boolean): readonly string[] {
  const about = PARTS[name];
  if (about === undefined) throw new Error(`test/docs/parts.ts says nothing about ${name}: add it there`);
  return [
    `## ${name}`,
    [plain(sentence(schema.description ?? '')), isRequired ? 'Required.' : '', about.more]
      .filter((text) => text !== '')
      .join(' '),
    fenced('yaml', about.example),
    ...(schema.items && !schema.items.oneOf ? ['Each entry of the list has these settings.'] : []),
    ...(schema.additionalProperties ? ['Below each name are these settings.'] : []),
    ...settings(name, schema),
  ];
}

/** The tables of a section, a list of sections, sections by name, or sections of several kinds. */
function settings(path: string, schema: Schema): readonly string[] {
  if (schema.oneOf) return schema.oneOf.flatMap((kind) => oneKind(path, kind));
  if (schema.items) return settings(path, schema.items);
  if (typeof schema.additionalProperties === 'object') return settings(path, schema.additionalProperties);
  const { text, inner } = tableOf(Object.entries(schema.properties ?? {}), new Set(schema.required), '');
  return [text, ...inner.flatMap(({ name, schema: own }) => nested(path, name, own))];
}

function nested(path: string, name: string, schema: Schema): readonly string[] {
  const whole = `${path}.${name}`;
  return [`### ${whole}`, `Each entry of \`${whole}\` has these settings.`, ...settings(whole, schema)];
}

function oneKind(path: string, schema: Schema): readonly string[] {
  const { kind, ...others } = schema.properties ?? {};
  const { text, inner } = tableOf(Object.entries(others), new Set(schema.required), '');
  return [
    `### ${path}: kind ${kind?.const}`,
    plain(sentence(kind?.description ?? '')),
    text,
    ...inner.flatMap(({ name, schema: own }) => [
      `Each entry of \`${name}\` has these settings.`,
      ...settings(name, own),
    ]),
  ];
}

interface Inner {
  readonly name: string;
  readonly schema: Schema;
}

type Members = readonly [string, Schema][];

/** Rows of a section and of the sections in it. What is a list of sections gets a table of its own: `inner`. */
function tableOf(
  members: Members,
  required: ReadonlySet<string>,
  prefix: string,
): { text: string; inner: readonly Inner[] } {
  const { rows, inner } = rowsOf(members, required, prefix);
  return { text: table(HEAD, rows), inner };
}

function rowsOf(members: Members, required: ReadonlySet<string>, prefix: string) {
  const rows: string[][] = [];
  const inner: Inner[] = [];
  for (const [name, schema] of members) {
    if (schema.not) continue; // It is there to be refused with a word.
    const path = `${prefix}${name}`;
    rows.push([code(path), typeOf(schema), defaultOf(schema, required.has(name)), plain(says(schema))]);
    for (const variant of [schema, ...(schema.anyOf ?? [])]) {
      const entry =
        variant.items ?? (typeof variant.additionalProperties === 'object' ? variant.additionalProperties : null);
      if (entry?.properties) inner.push({ name: path, schema: entry });
      if (!variant.properties) continue;
      const own = rowsOf(Object.entries(variant.properties), new Set(variant.required), `${path}.`);
      rows.push(...own.rows);
      inner.push(...own.inner);
    }
  }
  return { rows, inner };
}

/** What it says, and of a list what an entry is. The type has said already where a secret is, and which values there are. */
function says(schema: Schema): string {
  const { items, additionalProperties, anyOf = [] } = schema;
  const values = schema.enum ?? anyOf.flatMap(({ const: value }) => (typeof value === 'string' ? [value] : []));
  const entry = items ?? (typeof additionalProperties === 'object' ? additionalProperties : {});
  const isTold = entry.properties !== undefined || entry.oneOf !== undefined || typeOf(entry) !== 'text';
  const text = [schema.description ?? '', isTold ? '' : (entry.description ?? '')]
    .filter((part) => part !== '')
    .map(sentence)
    .join(' ')
    .replace(/(?:[:,.] )?(?:env:NAME or )?file:PATH\.$/, '.')
    .replace(/^\.$/, '');
  const named = values.map((value) => [new RegExp(`(?<![\\w-])${value}(?=: )`, 'g'), code(value)] as const);
  return named.reduce((done, [value, marked]) => done.replace(value, marked), text);
}

function defaultOf({ default: value }: Schema, isRequired: boolean): string {
  if (isRequired) return '_required_';
  // Of a section the settings say it.
  if (value === undefined || JSON.stringify(value) === '{}') return '';
  return code(Array.isArray(value) ? `[${value.join(', ')}]` : String(value));
}

/** Patterns that have a name. What has another one is text, and its description says which. */
const PATTERNS: readonly (readonly [(pattern: string) => boolean, string])[] = [
  [(pattern) => pattern === REFERENCE_PATTERN, '`env:NAME` or `file:PATH`'],
  [(pattern) => pattern === '^file:.+$', '`file:PATH`'],
  [(pattern) => pattern === DURATION_PATTERN, 'duration'],
  [(pattern) => pattern.endsWith('%$'), 'percentage'],
  [(pattern) => pattern.includes('KiB'), 'size'],
  [(pattern) => pattern.includes('[0-7]{3}'), 'mode'],
  [(pattern) => pattern.includes('\\/') && pattern.includes('$|^'), 'app or client'],
  [(pattern) => pattern.split('\\/').length === 3 && pattern.includes('{0,127}'), 'client'],
];

function typeOf(schema: Schema): string {
  const { type, enum: values, pattern = '', items, additionalProperties, anyOf } = schema;
  if (anyOf) return [...new Set(anyOf.map(typeOf))].join(' or ');
  if (schema.const !== undefined) return code(String(schema.const));
  if (values) return values.map(code).join(', ');
  if (items) return items.properties || items.oneOf ? 'list of sections' : `list: ${typeOf(items)}`;
  if (typeof additionalProperties === 'object') {
    return additionalProperties.properties ? 'sections by name' : `${typeOf(additionalProperties)}, by name`;
  }
  if (type === 'object') return 'section';
  if (type === 'boolean') return '`true` or `false`';
  if (type === 'integer' && (schema.maximum ?? 0) > 2 ** 31) return 'number';
  if (type === 'integer') return `number from ${schema.minimum} to ${schema.maximum}`;
  return PATTERNS.find(([isOf]) => isOf(pattern))?.[1] ?? 'text';
}

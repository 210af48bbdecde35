/** YAML as far as its syntax goes: what makes a text no config before its settings are looked at. Takes time in proportion to the text. */
import { type Document, isScalar, type LineCounter, parseDocument, visit, type YAMLMap } from 'yaml';
import { messageOf } from '../errors.ts';
import type { Problem } from './model.ts';

/** In characters. Beyond that the parser alone would take seconds. */
const MAX_LENGTH = 1024 * 1024;

interface Fault {
  readonly message: string;
  /** In characters from the start of the text. */
  readonly offset: number;
}

/** The document, and the first problem of each line: the others follow from it. */
export function parseYaml(text: string, lines: LineCounter): { document: Document; problems: readonly Problem[] } {
  if (text.length > MAX_LENGTH) {
    const message = `is longer than ${MAX_LENGTH} characters, which no config is: name the right file with --config FILE`;
    return { document: parseDocument(''), problems: [{ path: '', message, line: null }] };
  }
  // Pretty errors quote the source, where a secret may stand by mistake. Looking for equal keys is left to `faultsOf`: the parser compares each
  // with each.
  // `<<: *anchor` takes over settings that another section has.
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    merge: true,
  });
  const parsed = document.errors.map(({ message, pos }) => ({ message, offset: pos[0] }));
  const problems = new Map<number, Problem>();
  for (const { message, offset } of [...faultsOf(document), ...parsed]) {
    const { line } = lines.linePos(offset);
    if (!problems.has(line)) problems.set(line, { path: '', message: `not valid YAML: ${message}`, line });
  }
  return { document, problems: [...problems.values()] };
}

/** What the document says, as plain values; or what is wrong with it. */
export function valuesOf(document: Document): { readonly values: unknown } | { readonly problem: string } {
  try {
    return { values: document.toJS() ?? {} };
  } catch (error) {
    // Aliases of aliases of aliases: a small file that would fill the memory.
    return { problem: `not usable YAML: ${messageOf(error)}` };
  }
}

function faultsOf(document: Document): Fault[] {
  const faults: Fault[] = [];
  const anchors = new Set<string>();
  visit(document, {
    Value: (_, { anchor }) => {
      if (anchor !== undefined) anchors.add(anchor);
    },
    Alias: (_, { source, range }) => {
      // The alias may be a mistaken value: not repeated.
      const message = 'a value that starts with "*" is an alias in YAML: put it in quotes';
      if (!anchors.has(source)) faults.push({ message, offset: range?.[0] ?? 0 });
    },
    Map: (_, map) => {
      if (map.anchor !== undefined) anchors.add(map.anchor);
      faults.push(...keyFaults(map));
    },
  });
  return faults;
}

function keyFaults({ items }: YAMLMap): Fault[] {
  const seen = new Set<unknown>();
  return items.flatMap(({ key }) => {
    if (!isScalar(key)) return [];
    const offset = key.range?.[0] ?? 0;
    // What an object does not take as a member of its own would be dropped without a word.
    if (key.value === '__proto__') return [{ message: '"__proto__" cannot be a name', offset }];
    if (seen.has(key.value)) return [{ message: 'Map keys must be unique', offset }];
    seen.add(key.value);
    return [];
  });
}

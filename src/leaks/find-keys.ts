/**
 * Keys in whatever somebody found: a file, a log line, a commit, the report of a scanner. Unlike {@link ../keys/any-key.ts} it looks for keys within text and
 * within the encodings around it, and takes what cannot be read for no key. The time that it takes grows with the length of the text and no faster.
 */
import { type AnyKey, keysInBlock, keysInJwk } from '../keys/any-key.ts';
import { labelOf } from '../keys/der.ts';
import { hashIn } from '../keys/key-marks.ts';
import { type Block, blocksOf } from '../keys/pem.ts';

/** Keys, and names that somebody gave in place of one. */
export interface FoundKeys {
  readonly keys: readonly AnyKey[];
  readonly names: readonly string[];
  /** There is more than anybody looks at: see {@link MOST_PARTS}. */
  readonly isOver: boolean;
}

/** Parts that may be keys: those beyond are not read. Reading one takes up to a millisecond. */
export const MOST_PARTS = 200;

/** A PEM in base64 in a JSON text in base64 is one; nobody wraps it deeper without wanting to. */
const MOST_DEPTH = 4;

interface Search {
  readonly blocks: Block[];
  readonly jwks: object[];
  readonly names: Set<string>;
  parts: number;
}

/** @param given the bytes of a file or of a body; they are not kept */
export async function findKeys(given: Uint8Array): Promise<FoundKeys> {
  return keysFoundBy((search) => searchBytes(given, 0, search));
}

/** The same in values that were JSON: each text in them is looked at by itself. */
export async function findKeysIn(values: readonly unknown[]): Promise<FoundKeys> {
  return keysFoundBy((search) => {
    for (const value of values) searchValue(value, 0, search);
  });
}

async function keysFoundBy(look: (search: Search) => void): Promise<FoundKeys> {
  const search: Search = { blocks: [], jwks: [], names: new Set(), parts: 0 };
  look(search);
  const { blocks, jwks, names, parts } = search;
  if (parts > MOST_PARTS) return { keys: [], names: [], isOver: true };
  const keys: AnyKey[] = [];
  // One after the other: a worker has other things to do in between.
  for (const block of blocks) keys.push(...(await keysInBlock(block)));
  for (const jwk of jwks) keys.push(...(await keysInJwk(jwk)));
  const withPrivate = keys.filter(({ privateKey }) => privateKey !== null);
  const once = new Map([...keys, ...withPrivate].map((key) => [key.id, key]));
  const known = new Set([...once.values()].flatMap(({ id, thumbprint }) => [id, thumbprint]));
  return {
    keys: [...once.values()],
    names: [...names].filter((name) => !known.has(hashIn(name) ?? name)),
    isOver: false,
  };
}

/** False when enough was found. */
function mayTake(search: Search): boolean {
  search.parts += 1;
  return search.parts <= MOST_PARTS;
}

function searchBytes(bytes: Uint8Array, depth: number, search: Search): void {
  const label = labelOf(bytes);
  if (label === null) searchText(decoded(bytes), depth, search);
  else if (mayTake(search)) search.blocks.push({ label, body: Buffer.from(bytes).toString('base64') });
}

/** Some programs write UTF-16, and say so with their first two bytes. */
function decoded(bytes: Uint8Array): string {
  const mark = `${bytes[0]} ${bytes[1]}`;
  const encoding = mark === '255 254' ? 'utf-16le' : mark === '254 255' ? 'utf-16be' : 'utf-8';
  return new TextDecoder(encoding).decode(bytes);
}

function searchText(given: string, depth: number, search: Search): void {
  if (depth > MOST_DEPTH || search.parts > MOST_PARTS) return;
  const text = given.replace(/^\uFEFF/, '').trim();
  const parsed = jsonIn(text);
  if (parsed !== undefined) {
    searchValue(parsed, depth + 1, search);
    return;
  }
  // Deeper within a report, any word would be one.
  if (depth === 0 ? NAME.test(text) && !text.startsWith('rekeyd-key:') : hashIn(text) !== null) takeName(text, search);
  const marks = [...text.matchAll(MARK)].map(([, thumbprint = '']) => thumbprint);
  for (const thumbprint of new Set(marks)) takeName(thumbprint, search);
  const plain = withoutMargin(text);
  const { blocks } = blocksOf(plain);
  for (const block of blocks) if (mayTake(search)) search.blocks.push(block);
  if (blocks.length > 0) return;
  searchObjects(plain, depth, search);
  searchRuns(plain, depth, search);
  // A form of a web page, or a URL.
  if (/%(?:0A|2B|2D|22|7B)/i.test(plain)) searchText(unescaped(plain), depth + 1, search);
}

function jsonIn(text: string): object | undefined {
  if (!/^[[{"]/.test(text)) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'string') return [parsed];
    return typeof parsed === 'object' && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', '%20'));
  } catch {
    return '';
  }
}

/** A thumbprint, a hash or a `kid`, where nothing else is given. Text that a part of a key may be is no name of one. */
const NAME = /^[\x21-\x7e]{1,256}$/;

function takeName(name: string, search: Search): void {
  if (mayTake(search)) search.names.add(name);
}

/** What a key file of ours says of itself ({@link ../deliver/key-set.ts}). */
const MARK = /rekeyd-key:([A-Za-z0-9_-]{43})/g;

function searchValue(value: unknown, depth: number, search: Search): void {
  if (depth > MOST_DEPTH || search.parts > MOST_PARTS) return;
  if (typeof value === 'string') searchText(value, depth, search);
  if (typeof value !== 'object' || value === null) return;
  if ('kty' in value) {
    if (mayTake(search)) search.jwks.push(value);
    return;
  }
  for (const member of Object.values(value)) searchValue(member, depth + 1, search);
}

/** Longer than a JWK of an RSA key with 16,384 bits. */
const LONGEST_JWK = 16_384;

/** A JWK within text. It has no object in it, so what lies before its end is not read again: otherwise nested braces would cost the square of their number. */
function searchObjects(text: string, depth: number, search: Search): void {
  let end = -1;
  for (const { index } of text.matchAll(/"kty"/g)) {
    if (search.parts > MOST_PARTS) return;
    if (index < end) continue;
    end = text.indexOf('}', index);
    // The second one also where another brace stands before the end: in a text, or as an object around the JWK.
    const starts = new Set([text.lastIndexOf('{', index), text.lastIndexOf('{', end)]);
    for (const from of starts) {
      if (from === -1 || end === -1 || end - from > LONGEST_JWK) {
        search.parts += 1;
        continue;
      }
      const parsed = jsonIn(text.slice(from, end + 1));
      if (parsed !== undefined) searchValue(parsed, depth + 1, search);
    }
  }
}

/** A line of a file that holds base64 or hex alone, or a long run of it within one. */
const RUN = /[A-Za-z0-9+/_-]{64,}/g;
const WHOLE_LINE = /^[A-Za-z0-9+/_-]{16,}={0,2}$/;

/** What `base64` and `xxd -p` print: in one line or in many. */
function searchRuns(text: string, depth: number, search: Search): void {
  let lines: string[] = [];
  const end = () => {
    if (lines.length > 0) searchRun(lines.join(''), depth, search);
    lines = [];
  };
  for (const line of text.split(/\r?\n/)) {
    const bare = line.trim();
    if (WHOLE_LINE.test(bare)) lines.push(bare);
    else {
      end();
      for (const [run] of bare.matchAll(RUN)) searchRun(run, depth, search);
    }
  }
  end();
}

function searchRun(run: string, depth: number, search: Search): void {
  const isHex = /^(?:[0-9a-f]{2})+$/i.test(run);
  for (const bytes of isHex ? [Buffer.from(run, 'hex'), Buffer.from(run, 'base64')] : [Buffer.from(run, 'base64')]) {
    const isKey = labelOf(bytes) !== null;
    if (isKey || bytes.includes('-----BEGIN ') || bytes.includes('"kty"') || bytes.includes('"private_key"')) {
      searchBytes(bytes, depth + 1, search);
    }
  }
}

/** What a diff, a quoted mail or a comment puts before each line: `+` would be read as base64. */
const MARGIN = /^([ \t]*(?:[+>|#*;-]|\/\/)[ \t]?|[ \t]+)-----BEGIN /m;

function withoutMargin(text: string): string {
  const [, margin] = MARGIN.exec(text) ?? [];
  if (margin === undefined) return text;
  return text
    .split('\n')
    .map((line) => (line.startsWith(margin) ? line.slice(margin.length) : line))
    .join('\n');
}

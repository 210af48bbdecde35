/** The style sheet and the script of the page. Each is named with a hash of its content, so that browsers may keep it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** In the order of the style sheet: a later rule overrides an earlier one. */
const SHEETS = ['base', 'frame', 'fleet', 'tables', 'forms', 'client', 'lifeline', 'narrow'];

const SOURCES = {
  'page.css': { type: 'text/css; charset=utf-8', files: SHEETS.map((name) => `css/${name}.css`) },
  'page.js': { type: 'text/javascript; charset=utf-8', files: ['page.js'] },
} as const;

export type AssetName = keyof typeof SOURCES;

export const ASSETS = Object.keys(SOURCES) as readonly AssetName[]; // of a constant object

export interface Asset {
  readonly text: string;
  readonly type: string;
  readonly hash: string;
}

/** Files are read once, when a page is first asked for: a worker that serves no page reads none. */
const read = new Map<AssetName, Asset>();

export function asset(name: AssetName): Asset {
  const known = read.get(name);
  if (known !== undefined) return known;
  const { type, files } = SOURCES[name];
  const text = files.map((file) => readFileSync(new URL(`./assets/${file}`, import.meta.url), 'utf8')).join('\n');
  const fresh = { text, type, hash: createHash('sha256').update(text).digest('base64url').slice(0, 16) };
  read.set(name, fresh);
  return fresh;
}

export function assetPath(name: AssetName): string {
  return `/assets/${name}?v=${asset(name).hash}`;
}

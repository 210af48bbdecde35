/** The style sheet and the script of the page. Each is named with a hash of its content, so that browsers may keep it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const TYPES = { 'page.css': 'text/css; charset=utf-8', 'page.js': 'text/javascript; charset=utf-8' } as const;

export type AssetName = keyof typeof TYPES;

export const ASSETS = Object.keys(TYPES) as readonly AssetName[]; // of a constant object

export interface Asset {
  readonly text: string;
  readonly type: string;
  readonly hash: string;
}

/** Read once, when a page is first asked for: a worker without a page reads nothing. */
const read = new Map<AssetName, Asset>();

export function asset(name: AssetName): Asset {
  const known = read.get(name);
  if (known !== undefined) return known;
  const text = readFileSync(new URL(`./assets/${name}`, import.meta.url), 'utf8');
  const fresh = { text, type: TYPES[name], hash: createHash('sha256').update(text).digest('base64url').slice(0, 16) };
  read.set(name, fresh);
  return fresh;
}

export function assetPath(name: AssetName): string {
  return `/assets/${name}?v=${asset(name).hash}`;
}

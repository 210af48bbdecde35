import type { PublicJwk } from '../core/document.ts';
import type { Delivery } from '../core/signers.ts';
import { thumbprintOf } from '../keys/key-id.ts';
import type { SinkContents, SinkKey } from './sink.ts';

/** The file that says which keys the others hold. */
export const META = 'meta.json';

/**
 * The files of a client's set by name. Same contents, same bytes. They hold private keys: the caller clears them. Each has memory of its own, so that it can
 * be moved to another thread: short buffers that Node makes from a text share one piece of memory.
 * @param pemComment see {@link SinkConfig.pemComment}
 */
export function keySetFiles(contents: SinkContents, pemComment = false): Map<string, Uint8Array<ArrayBuffer>> {
  const { current, next, previous } = contents;
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const add = (name: string, text: string) => files.set(name, bytesOf(text));
  if (current !== null) {
    add('current.jwk.json', json(privateJwk(current)));
    const pem = pemOf(current);
    // Text before the header is no part of a PEM (RFC 7468 section 2), but not every reader knows that.
    add('current.pem', pemComment ? `${markOf(current)}\n${pem}` : pem);
  }
  if (next !== null) add('next.jwk.json', json(privateJwk(next)));
  if (previous !== null) add('previous.jwk.json', json(privateJwk(previous)));
  const present = [current, next, previous].filter((key) => key !== null);
  add('public.jwks.json', json({ keys: present.map(publicJwk) }));
  add(META, json(meta(contents)));
  return files;
}

/** The same as texts, for services that take JSON. A text cannot be cleared: it stays in memory until Node collects it. */
export function keySetTexts(contents: SinkContents): Record<string, string> {
  const files = [...keySetFiles(contents)];
  const texts = files.map(([name, bytes]) => [name, new TextDecoder().decode(bytes)] as const);
  for (const [, bytes] of files) bytes.fill(0);
  return Object.fromEntries(texts);
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.alloc(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

function meta({ clientId, issuer, alg, current, next, previous, updatedAt }: SinkContents) {
  return {
    client_id: clientId,
    issuer,
    alg,
    current: current?.kid ?? null,
    next: next?.kid ?? null,
    previous: previous?.kid ?? null,
    updated_at: new Date(updatedAt).toISOString(),
  };
}

/** What the text of a `meta.json` says its set holds, or null when it is none. */
export function deliveryIn(text: string): Delivery | null {
  const { current, next, previous } = membersOf(text);
  return isKid(current) && isKid(next) && isKid(previous) ? { current, next, previous } : null;
}

function membersOf(text: string): { readonly [name: string]: unknown } {
  try {
    return { ...JSON.parse(text) };
  } catch {
    return {};
  }
}

function isKid(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function publicJwk({ jwk, kid, alg }: SinkKey): PublicJwk {
  return { ...jwk, kid, use: 'sig', alg };
}

/** Readers pass over members that they do not know (RFC 7517 section 4). */
function privateJwk(key: SinkKey) {
  const { privateKey, kid, alg } = key;
  return { ...privateKey.keyObject().export({ format: 'jwk' }), kid, use: 'sig', alg, 'x-rekeyd': markOf(key) };
}

/** One key alone: its JWK and its PEM. */
export function keyTexts(key: SinkKey): { readonly jwk: object; readonly pem: string } {
  return { jwk: privateJwk(key), pem: pemOf(key) };
}

function pemOf({ privateKey }: SinkKey): string {
  return privateKey.keyObject().export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** A scanner recognises a private key of ours by this mark. The mark alone is enough to ask which client has the key: see docs/leaks.md. */
function markOf({ jwk }: SinkKey): string {
  return `rekeyd-key:${thumbprintOf(jwk)}`;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

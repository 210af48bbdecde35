/** Keys in any form in which somebody finds them: to tell which client has them, not to use them. */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { PublicJwk } from '../core/document.ts';
import { RekeydError } from '../errors.ts';
import { publicJwkFrom } from './generate.ts';
import { keyId, wrapped as wrappedPem } from './key-id.ts';
import { type Block, blocksOf, isEncrypted, wrapped } from './pem.ts';

export interface AnyKey {
  /** See {@link PublishedKey.ids}. */
  readonly id: string;
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly thumbprint: string;
  /** Null: only the public half was given. */
  readonly privateKey: KeyObject | null;
}

/** What a text stands for: keys, or the name of one (a thumbprint, a `kid`). */
export type Meant = { readonly keys: readonly AnyKey[] } | { readonly name: string };

/** Longer than any `kid` that people copy around. */
const NAME = /^[\x21-\x7e]{1,256}$/;

/**
 * PEM (private, public, certificate, several of them, with text around), JWK, JWK Set, a JSON file with a `private_key`, or a name.
 * @throws RekeydError `key_invalid` says what it is and what to give instead. Never quotes what was given
 */
export async function readAnyKey(text: string): Promise<Meant> {
  const plain = text.replace(/^\uFEFF/, '').trim();
  if (plain === '') throw invalid('It is empty', 'Give a PEM, a JWK or a thumbprint');
  if (/^[[{]/.test(plain)) return { keys: onceEach(await fromJson(plain)) };
  if (plain.includes('-----BEGIN ')) return { keys: onceEach(await fromPem(plain)) };
  if (NAME.test(plain)) return { name: plain };
  throw invalid('This is neither a PEM nor a JWK nor a thumbprint', 'Give the key as PEM or JWK, or its thumbprint');
}

/** With its private half, where one of the forms has it. */
function onceEach(keys: readonly AnyKey[]): readonly AnyKey[] {
  const withPrivate = keys.filter(({ privateKey }) => privateKey !== null);
  return [...new Map([...keys, ...withPrivate].map((key) => [key.id, key])).values()];
}

async function fromJson(text: string): Promise<readonly AnyKey[]> {
  const { keys, private_key: pem, ...rest } = objectIn(text);
  if (typeof pem === 'string') return fromPem(pem);
  const jwks = Array.isArray(keys) ? keys : [rest];
  const read = (await Promise.all(jwks.map(keysInJwk))).flat();
  if (read.length > 0) return read;
  throw invalid('This JSON holds no asymmetric key', 'Give a JWK (kty RSA, EC or OKP), or a JWK Set');
}

function objectIn(text: string): Partial<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    throw invalid('This begins like JSON and is none', 'Give the whole file');
  }
}

/** A published entry may hold more than one key: its members, a PEM and a certificate. What cannot be read is left out. */
export async function keysInJwk(value: unknown): Promise<readonly AnyKey[]> {
  if (typeof value !== 'object' || value === null) return [];
  const members = Object.entries(value).filter(([, member]) => member !== null);
  const jwk: PublicJwk = { kty: '', ...Object.fromEntries(members) };
  const own = typeof jwk.d === 'string' ? () => createPrivateKey({ key: jwk, format: 'jwk' }) : null;
  const forms = [
    own ?? (() => createPublicKey({ key: jwk, format: 'jwk' })),
    () => createPublicKey(wrappedPem(String(jwk.public_key_pem))),
    () => new X509Certificate(Buffer.from(String(Array.isArray(jwk.x5c) ? jwk.x5c[0] : ''), 'base64')).publicKey,
  ];
  return (await Promise.all(forms.map((read) => described(read).catch(() => [])))).flat();
}

async function fromPem(text: string): Promise<readonly AnyKey[]> {
  const { blocks } = blocksOf(text);
  if (blocks.some(isEncrypted)) {
    throw invalid(
      'The PEM is encrypted with a passphrase',
      'Give its public half: `openssl pkey -in FILE -pubout` asks for the passphrase',
    );
  }
  const read = (await Promise.all(blocks.map(keysInBlock))).flat();
  if (read.length > 0) return read;
  throw invalid(
    'No key of this PEM can be read',
    'It is damaged, cut off or of another kind. Give a PEM with "BEGIN PRIVATE KEY", "BEGIN PUBLIC KEY" or "BEGIN CERTIFICATE"',
  );
}

/** The key of one PEM block, or none. */
export async function keysInBlock(block: Block): Promise<readonly AnyKey[]> {
  return described(() => keyIn(wrapped(block), block.label)).catch(() => []);
}

function keyIn(pem: string, label: string): KeyObject {
  if (label.endsWith('PRIVATE KEY')) return createPrivateKey(pem);
  return label === 'CERTIFICATE' ? new X509Certificate(pem).publicKey : createPublicKey(pem);
}

async function described(read: () => KeyObject): Promise<readonly AnyKey[]> {
  const key = read();
  const privateKey = key.type === 'private' ? key : null;
  const { thumbprint } = await publicJwkFrom(privateKey === null ? key : createPublicKey(privateKey));
  return [{ id: keyId(key), thumbprint, privateKey }];
}

function invalid(what: string, hint: string): RekeydError {
  return new RekeydError('key_invalid', `${what}. ${hint}.`);
}

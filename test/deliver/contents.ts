import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { parseReference } from '../../src/core/client.ts';
import type { Sink, SinkContents, SinkKey } from '../../src/deliver/sink.ts';

export async function sinkKey(): Promise<SinkKey> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { d: _, kty = '', ...rest } = privateKey.export({ format: 'jwk' });
  const jwk = { kty, ...rest };
  return { kid: await calculateJwkThumbprint(jwk), alg: 'ES256', jwk, privateKey: { keyObject: () => privateKey } };
}

export function contents(
  keys: Partial<Pick<SinkContents, 'current' | 'next' | 'previous'>>,
  more: Partial<SinkContents> = {},
): SinkContents {
  return {
    ref: parseReference('185019846023/mcp-auth/4711'),
    clientId: 'client-4711',
    issuer: 'https://auth.example.com',
    alg: 'ES256',
    current: null,
    next: null,
    previous: null,
    updatedAt: Date.parse('2026-11-23T03:00:00Z'),
    epoch: 1,
    ...keys,
    ...more,
  };
}

/** Whether a private JWK or PEM file holds this key. */
export function holds(key: SinkKey, text: string): boolean {
  const found = text.startsWith('{')
    ? createPrivateKey({ key: JSON.parse(text), format: 'jwk' })
    : createPrivateKey(text);
  return found.equals(key.privateKey.keyObject());
}

/** What a set with a current and a next key is made of. */
export const SET_FILES = ['current.jwk.json', 'current.pem', 'meta.json', 'next.jwk.json', 'public.jwks.json'];

/** What a sink says that it holds for the client of {@link contents}. */
export async function deliveryAt(sink: Sink) {
  return (await sink.sets?.('185019846023/mcp-auth'))?.(contents({}).ref);
}

/** Why a delivery failed. */
export function message(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'it was delivered',
    (error: Error) => error.message,
  );
}

import type { KeyObject } from 'node:crypto';
import type { PublicJwk } from '../core/document.ts';
import type { SinkContents, SinkKey } from './sink.ts';

type SetKey = Omit<SinkKey, 'privateKey'> & { readonly privateKey: KeyObject };

/** What a client's set is made of. */
export type KeySet = Omit<SinkContents, 'current' | 'next' | 'previous'> &
  Readonly<Record<'current' | 'next' | 'previous', SetKey | null>>;

/** The files of a client's set by name. Same contents, same bytes. They hold private keys: write them and let go. */
export function keySetFiles(set: KeySet): Map<string, string> {
  const { current, next, previous } = set;
  const files = new Map<string, string>();
  if (current !== null) {
    files.set('current.jwk.json', json(privateJwk(current)));
    files.set('current.pem', current.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  }
  if (next !== null) files.set('next.jwk.json', json(privateJwk(next)));
  if (previous !== null) files.set('previous.jwk.json', json(privateJwk(previous)));
  const present = [current, next, previous].filter((key) => key !== null);
  files.set('public.jwks.json', json({ keys: present.map(publicJwk) }));
  files.set('meta.json', json(meta(set)));
  return files;
}

function meta({ clientId, issuer, alg, current, next, previous, updatedAt }: KeySet) {
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

function publicJwk({ jwk, kid, alg }: SetKey): PublicJwk {
  return { ...jwk, kid, use: 'sig', alg };
}

function privateJwk({ privateKey, kid, alg }: SetKey) {
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** The files that the deliveries of an overlap rotation write, byte for byte; the others of each set are links to those of the set before. */
import type { FolderClient, FolderKey, KeySet } from './bare-folder.ts';

type Keys = readonly [current: FolderKey, next: FolderKey | null, previous: FolderKey | null];

/** The one key that a client begins with. */
export function firstSet(client: FolderClient, key: FolderKey): KeySet {
  const written = {
    'current.jwk.json': jwkOf(key),
    'current.pem': pemOf(key),
    ...publicFiles(client, [key, null, null]),
  };
  return { written, linked: {} };
}

/** The new key goes to signers, and is not in use yet. */
export function nextSet(client: FolderClient, old: FolderKey, fresh: FolderKey): KeySet {
  return {
    written: { 'next.jwk.json': jwkOf(fresh), ...publicFiles(client, [old, fresh, null]) },
    linked: CURRENT,
  };
}

/** The new key is in use, and the old one is kept. */
export function activeSet(client: FolderClient, old: FolderKey, fresh: FolderKey): KeySet {
  return {
    written: { 'current.pem': pemOf(fresh), ...publicFiles(client, [fresh, null, old]) },
    linked: { 'current.jwk.json': 'next.jwk.json', 'previous.jwk.json': 'current.jwk.json' },
  };
}

/** The old key is gone. */
export function lastSet(client: FolderClient, fresh: FolderKey): KeySet {
  return { written: publicFiles(client, [fresh, null, null]), linked: CURRENT };
}

const CURRENT = { 'current.jwk.json': 'current.jwk.json', 'current.pem': 'current.pem' };

function publicFiles({ clientId, issuer }: FolderClient, [current, next, previous]: Keys) {
  const keys = [current, next, previous].filter((key) => key !== null);
  return {
    'public.jwks.json': json({ keys: keys.map((key) => ({ ...key.jwk, kid: key.kid, use: 'sig', alg: key.alg })) }),
    'meta.json': json({
      client_id: clientId,
      issuer,
      alg: current.alg,
      current: current.kid,
      next: next?.kid ?? null,
      previous: previous?.kid ?? null,
      updated_at: new Date().toISOString(),
    }),
  };
}

function jwkOf({ privateKey, kid, alg }: FolderKey): string {
  const mark = `rekeyd-key:${kid}`;
  return json({ ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg, 'x-rekeyd': mark });
}

function pemOf({ privateKey }: FolderKey): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

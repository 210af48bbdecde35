/** Public keys, for everybody: what `jwks_uri` may lead to. */
import { hash } from 'node:crypto';
import { z } from 'zod';
import { parseReference } from '../../core/client.ts';
import { publishedKeys } from '../../core/desired.ts';
import type { PublicJwk } from '../../core/document.ts';
import { publishedAs } from '../../core/keys.ts';
import type { ClientRecord } from '../../core/record.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import { ProblemError } from '../problem.ts';
import { publicRoute, type Route } from '../route.ts';
import { CLIENT_EXAMPLE, clientPath, jwksSchema } from './schemas.ts';

/** A set may be kept for at most this long, in s: a leaked key is out of the set at once, and out of caches after that. */
const MOST_CACHED = 60;

export const jwksRoutes: readonly Route[] = [
  publicRoute({
    ...{ method: 'GET', path: '/jwks/{deployment}/{app}/{client}', scope: null, id: 'getJwks' },
    summary: 'The public keys of a client.',
    description: 'As rekeyd publishes them: without a key that was reported as compromised.',
    params: clientPath,
    requestHeaders: { 'If-None-Match': { description: 'The ETag of the set that is kept.', schema: z.string() } },
    answers: {
      200: {
        description: 'A JWK Set, RFC 7517.',
        type: 'application/jwk-set+json',
        schema: jwksSchema,
        headers: { ETag: 'Names this set.', 'Cache-Control': 'For how long it may be kept.' },
      },
      304: { description: 'The set is the one that is kept.' },
    },
    problems: { 404: 'rekeyd publishes no key of this client.' },
    examples: { params: CLIENT_EXAMPLE },
    async handle({ context: { resources }, params: { deployment, app, client }, headers }) {
      const ref = parseReference(`${deployment}/${app}/${client}`);
      const policy = clientPolicy(resources, ref);
      const record = policy === null ? undefined : (await resources.store.load(ref))?.record;
      const keys = record === undefined ? [] : publicKeys(record);
      if (keys.length === 0 || policy === null) throw new ProblemError(404, `rekeyd publishes no key of ${ref}.`);
      const body = JSON.stringify({ keys });
      const tag = `"${hash('sha256', body, 'base64url')}"`;
      const seconds = Math.min(MOST_CACHED, Math.floor(policy.propagationMs / 2_000));
      const told = { etag: tag, 'cache-control': `public, max-age=${seconds}, must-revalidate` };
      if (isKept(headers['if-none-match'], tag)) return { status: 304, headers: told };
      return { status: 200, headers: { ...told, 'content-type': 'application/jwk-set+json' }, body };
    },
  }),
];

/** Where the client's `jwks_uri` is ours, what is served there; else the keys of ours that its server is to accept. */
function publicKeys(record: ClientRecord): readonly PublicJwk[] {
  const { format, served } = record.server;
  if (format === 'jwks_uri' && served !== null) return served;
  return publishedKeys(record).map((key) => publishedAs(key, false).jwk);
}

/** RFC 9110 section 13.1.2. */
function isKept(asked: string | undefined, tag: string): boolean {
  const tags = (asked ?? '').split(',').map((one) => one.trim().replace(/^W\//, ''));
  return tags.includes('*') || tags.includes(tag);
}

/** Wacht's answers as data, checked member by member. Anything odd is an error: a half-read client would be written back half. */
import { z } from 'zod';
import { isSegment } from '../core/client.ts';
import type { ObservedClient, PublicJwk, PublishedKey } from '../core/document.ts';
import { PEM_KTY } from '../core/readback.ts';
import { members } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';
import { publishedKey } from '../keys/key-id.ts';
import { probeOf } from './mark.ts';

/** An OAuth app as far as rekeyd cares. */
export interface ObservedApp {
  readonly id: string;
  readonly slug: string;
  readonly name: string | null;
  /** Domain of its OAuth endpoints; null when it has none, or one that is no host. */
  readonly fqdn: string | null;
  readonly active: boolean;
}

/** The clients of one app. */
export interface ClientList {
  readonly clients: readonly ObservedClient[];
  /**
   * Rows that are not as Wacht documents them, by id, and what is wrong with each. These clients are there, and nothing more is known of them: one odd
   * row must not hold up a whole app, and must not pass for a client that is gone.
   */
  readonly unreadable: ReadonlyMap<string, string>;
}

/**
 * Ids are 64-bit integers sent as strings. A JSON number is taken only when JavaScript can hold it exactly: rounded, it is another client's id.
 */
const Id = z.union([z.string().min(1), z.int().transform(String)], {
  error: 'expected an id as a string, or as a number below 2^53',
});

const Text = z
  .string()
  .nullish()
  .transform((text) => text || null);

/** A host alone, with its port if it has one: client assertions are sent there. Anything else counts as none, and does no harm to other apps. */
const Host = Text.transform((text) => (URL.parse(`https://${text}`)?.host === text?.toLowerCase() ? text : null));

/** No JWK needs more. JSON takes any depth; comparing or writing it later would run out of stack. */
const MAX_DEPTH = 16;

/** Checked but not rebuilt, so that members keep their order and everything that is not known stays. */
const Jwk = z.custom<PublicJwk>(
  (value) => typeof members(value).kty === 'string' && isKept(MAX_DEPTH, value),
  `expected a JSON Web Key with a kty, nested at most ${MAX_DEPTH} levels deep, and without numbers beyond 2^53`,
);

/** True for what can be written back as it was read. A larger integer was rounded: somebody else's key would not come back verbatim. */
function isKept(levels: number, value: unknown): boolean {
  if (typeof value === 'number') return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((member) => isKept(levels - 1, member));
}

/** Ten years. */
const LONGEST_LIFE_S = 3650 * 86_400;

const Client = z
  .object({
    id: Id,
    client_id: z.string().min(1),
    client_auth_method: z.string(),
    token_endpoint_auth_signing_alg: Text,
    jwks_uri: Text,
    jwks: z.object({ keys: z.array(Jwk).nullish() }).nullish(),
    public_key_pem: Text,
    // Looked at for the mark of a probe alone: a client is read whatever this is.
    redirect_uris: z.unknown().optional(),
    is_active: z.boolean(),
    updated_at: z.string(),
    // A hint for people: anything else counts as not told.
    access_token_ttl_seconds: z.int().min(1).max(LONGEST_LIFE_S).nullish().catch(null),
  })
  .transform((client): ObservedClient => {
    const probe = probeOf(client.redirect_uris);
    return {
      id: client.id,
      clientId: client.client_id,
      authMethod: client.client_auth_method,
      alg: client.token_endpoint_auth_signing_alg,
      jwksUri: client.jwks_uri,
      keys: keysOf(client.jwks?.keys ?? [], client.public_key_pem),
      active: client.is_active,
      updatedAt: client.updated_at,
      ...(probe !== null && { probe }),
      ...(client.access_token_ttl_seconds != null && { tokenSeconds: client.access_token_ttl_seconds }),
    };
  });

const App = z
  .object({ id: Id, slug: z.string().min(1), name: Text, fqdn: Host, is_active: z.boolean() })
  .transform(({ is_active, ...app }): ObservedApp => ({ ...app, active: is_active }));

const Named = z.object({ id: Id });
export const LIST = 'a list of OAuth clients';
const AppList = z.object({ apps: z.array(App) }).transform(({ apps }) => apps);

/** A PEM that is shown beside the set, and not in it, is still the client's key. */
function keysOf(keys: readonly PublicJwk[], pem: string | null): readonly PublishedKey[] {
  if (keys.length === 0 && pem !== null) return [publishedKey({ kty: PEM_KTY, public_key_pem: pem })];
  return keys.map((jwk) => publishedKey(withoutNulls(jwk)));
}

function withoutNulls(jwk: PublicJwk): PublicJwk {
  if (!Object.values(jwk).includes(null)) return jwk;
  const kept = Object.entries(jwk).filter(([, value]) => value !== null);
  return { ...Object.fromEntries(kept), kty: jwk.kty };
}

/**
 * A client as the server shows it. The body comes without its `{"data": …}` wrapper.
 * @throws RekeydError `api_failed` when a member is missing or not what the reference says
 */
export function observedClient(body: unknown): ObservedClient {
  return parse(Client, body, 'an OAuth client');
}

/** One row of a list, which is put with the clients or with those that cannot be read. @throws RekeydError `api_failed` when it does not name its client */
export function takeRow(row: unknown, clients: ObservedClient[], unreadable: Map<string, string>): void {
  const { id } = parse(Named, row, LIST);
  if (!isSegment(id)) {
    unreadable.set(id, 'id: cannot stand in a client reference');
    return;
  }
  const parsed = Client.safeParse(row);
  if (parsed.success) clients.push(parsed.data);
  else unreadable.set(id, problemsOf(parsed.error));
}

/** @throws RekeydError `api_failed` */
export function observedApps(body: unknown): readonly ObservedApp[] {
  return parse(AppList, body, 'a list of OAuth apps');
}

function parse<T>(schema: z.ZodType<T>, body: unknown, what: string): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw undocumented(what, problemsOf(parsed.error));
}

export function undocumented(what: string, problems: string): RekeydError {
  return new RekeydError('api_failed', `the answer is not ${what} as Wacht documents it (${problems})`);
}

function problemsOf({ issues }: z.ZodError): string {
  const some = issues.slice(0, 3).map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
  return some.join('; ');
}

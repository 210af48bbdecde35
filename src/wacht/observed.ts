/** Wacht's answers as data, checked member by member. Anything odd is an error: a half-read client would be written back half. */
import { z } from 'zod';
import { isSegment } from '../core/client.ts';
import type { ObservedClient, PublicJwk, PublishedKey } from '../core/document.ts';
import { PEM_KTY } from '../core/readback.ts';
import { members } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';
import { publishedKey } from '../keys/key-id.ts';
import { takeRows } from './rows.ts';

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

const Client = z
  .object({
    id: Id,
    client_id: z.string().min(1),
    client_auth_method: z.string(),
    token_endpoint_auth_signing_alg: Text,
    jwks_uri: Text,
    jwks: z.object({ keys: z.array(Jwk).nullish() }).nullish(),
    public_key_pem: Text,
    is_active: z.boolean(),
    updated_at: z.string(),
  })
  .transform(
    (client): ObservedClient => ({
      id: client.id,
      clientId: client.client_id,
      authMethod: client.client_auth_method,
      alg: client.token_endpoint_auth_signing_alg,
      jwksUri: client.jwks_uri,
      keys: keysOf(client.jwks?.keys ?? [], client.public_key_pem),
      active: client.is_active,
      updatedAt: client.updated_at,
    }),
  );

const App = z
  .object({ id: Id, slug: z.string().min(1), name: Text, fqdn: Host, is_active: z.boolean() })
  .transform(({ is_active, ...app }): ObservedApp => ({ ...app, active: is_active }));

const Rows = z.object({ clients: z.array(z.unknown()) });
const Named = z.object({ id: Id });
const LIST = 'a list of OAuth clients';
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

/** A row as JSON gave it: its members are whatever the server sent. */
type Row = Readonly<Record<string, unknown>>;

function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string | null | undefined {
  return typeof value === 'string' || value === null || value === undefined;
}

/** The keys of `jwks`, or null when something about it is for the schema to judge. */
function plainKeys(jwks: unknown): readonly PublicJwk[] | null {
  if (jwks === null || jwks === undefined) return [];
  if (!isRow(jwks)) return null;
  const keys = jwks.keys ?? [];
  const isJwk = (key: unknown): key is PublicJwk => isRow(key) && typeof key.kty === 'string' && isKept(MAX_DEPTH, key);
  return Array.isArray(keys) && keys.every(isJwk) ? keys : null;
}

/**
 * What {@link Client} makes of a client that is as documented, for a tenth of the time: a list may have 100,000. Null for anything else, which is left
 * to the schema: it alone says what is wrong.
 */
function plainClient(row: unknown): ObservedClient | null {
  if (!isRow(row)) return null;
  const { id, client_id: clientId, client_auth_method: authMethod, is_active: active, updated_at: updatedAt } = row;
  const { token_endpoint_auth_signing_alg: alg, jwks_uri: jwksUri, public_key_pem: pem } = row;
  const keys = plainKeys(row.jwks);
  if (typeof id !== 'string' || typeof clientId !== 'string' || id === '' || clientId === '') return null;
  if (typeof authMethod !== 'string' || typeof active !== 'boolean' || typeof updatedAt !== 'string') return null;
  if (!isText(alg) || !isText(jwksUri) || !isText(pem) || keys === null) return null;
  let published: readonly PublishedKey[] | null = null;
  return {
    id,
    clientId,
    authMethod,
    alg: alg || null,
    jwksUri: jwksUri || null,
    /** Reading keys takes ten times as long as the rest of the row, and of most rows of a long list nobody looks at them. */
    get keys() {
      published ??= keysOf(keys, pem || null);
      return published;
    },
    active,
    updatedAt,
  };
}

/**
 * A client as the server shows it. The body comes without its `{"data": …}` wrapper.
 * @throws RekeydError `api_failed` when a member is missing or not what the reference says
 */
export function observedClient(body: unknown): ObservedClient {
  return plainClient(body) ?? parse(Client, body, 'an OAuth client');
}

/** Picks those of some clients of a list that the caller needs: the others are forgotten at once. Part of the call, and of its deadline. */
export type Keep = (clients: readonly ObservedClient[]) => Promise<readonly ObservedClient[]>;

export interface ClientListReader {
  /** See {@link RowTaker.take}. */
  take(piece: Uint8Array): Promise<Uint8Array>;
  /**
   * The list, once all of the body went through `take`.
   * @param body what `take` left of it, parsed
   * @throws RekeydError `api_failed` when it is no list, or a row does not say which client it is about
   */
  finish(body: unknown): ClientList;
}

/** Reads one list, row by row as it arrives. */
export function clientListReader(keep: Keep): ClientListReader {
  const clients: ObservedClient[] = [];
  const unreadable = new Map<string, string>();
  let arrived: ObservedClient[] = [];
  const taker = takeRows('clients', (rows) => {
    for (const row of rows) {
      const plain = plainClient(row);
      if (plain !== null && isSegment(plain.id)) arrived.push(plain);
      else readOdd(row, arrived, unreadable);
    }
  });
  return {
    async take(piece) {
      arrived = [];
      const rest = taker.take(piece);
      if (arrived.length > 0) for (const client of await keep(arrived)) clients.push(client);
      return rest;
    },
    finish(body) {
      const { clients: left } = parse(Rows, body, LIST);
      // Rows that were left stand in a second list of that name, or were taken from a list that is not the body's own.
      if (!taker.isComplete || left.length > 0) throw undocumented(LIST, 'clients: expected one list');
      return { clients, unreadable };
    },
  };
}

function readOdd(row: unknown, clients: ObservedClient[], unreadable: Map<string, string>): void {
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

function undocumented(what: string, problems: string): RekeydError {
  return new RekeydError('api_failed', `the answer is not ${what} as Wacht documents it (${problems})`);
}

function problemsOf({ issues }: z.ZodError): string {
  const some = issues.slice(0, 3).map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
  return some.join('; ');
}
